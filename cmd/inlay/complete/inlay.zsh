#compdef inlay
# zsh completion of inlay. To use it: source <(inlay completion zsh)
_inlay() {
    local line word about
    local -a plain shown open
    for line in "${(@f)$("${(Q)words[1]/#\~/$HOME}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        word=${line%%$'\t'*}
        about=${line#*$'\t'}
        [[ -z $word ]] && continue
        if [[ $word == */ || $word == *: || $word == *= ]]; then
            open+=("$word")
            continue
        fi
        plain+=("$word")
        [[ -n $about && $about != $line ]] && shown+=("$word  -- $about") || shown+=("$word")
    done
    (( $#plain )) && compadd -l -d shown -a plain
    (( $#open )) && compadd -S '' -a open
    (( $#plain + $#open ))
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _inlay inlay
