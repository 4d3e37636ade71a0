# bash completion of inlay. To use it: source <(inlay completion bash)
_inlay() {
    local rest=${COMP_LINE:0:COMP_POINT} words=() n=-1 i w cur cut
    # Bash also splits words at : and =; what no blank separates is one word.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        w=${COMP_WORDS[i]}
        if [[ $i -eq 0 || $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            n=$((n + 1))
            words[n]=
        fi
        [[ $i -eq $COMP_CWORD ]] && w=$rest # up to the cursor
        words[n]+=$w
        rest=${rest#"$w"}
    done
    cur=${words[n]}
    COMPREPLY=()
    if [[ $cur == [\"\']* ]]; then
        compopt -o default 2>/dev/null # files, which bash quotes
        return
    fi
    # What stands before the last : or = is not part of what bash replaces.
    cut=${cur%"${cur##*["$COMP_WORDBREAKS"]}"}
    while IFS=$'\t' read -r w _; do
        [[ $w == */ || $w == *: || $w == *= ]] && compopt -o nospace 2>/dev/null
        w=${w#"$cut"}
        if [[ $w == '~/'* ]]; then
            printf -v w '~/%q' "${w#'~/'}"
        else
            printf -v w %q "$w"
        fi
        COMPREPLY+=("$w")
    done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _inlay inlay
