# fish completion of inlay. To use it: inlay completion fish | source
function __inlay_complete
    set -l words (commandline -opc)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -e words[1]
    $program __complete $words (commandline -ct) 2>/dev/null
end
complete -c inlay -f -a '(__inlay_complete)'
