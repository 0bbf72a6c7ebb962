# Made by `cargo run --example gen` from the table of commands: do not edit.
# shellcheck shell=bash
_chainbot() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' words='' word
    COMPREPLY=()
    case $previous in
        -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        --agent | --allow | --data | --days | --id | --limit | --model | --persona | --refuse | --role | --secret | --severity | --signature | --since | --timestamp | --type) return ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
            -*) ;;
            *) command="${command:+$command }$word" ;;
        esac
    done
    case $command in
        '') words='run check config status events chat approvals token webhook ledger service version help --config --help --version' ;;
        'config') words='show docs' ;;
        'token') words='create list revoke rotate' ;;
        'webhook') words='sign verify send' ;;
        'ledger') words='verify stats compact salvage' ;;
        'service') words='install uninstall status' ;;
        'run') words='--config --help --version' ;;
        'check') words='--config --help --version' ;;
        'config show') words='--json --config --help --version' ;;
        'config docs') words='--config --help --version' ;;
        'status') words='--json --config --help --version' ;;
        'events') words='--follow --since --type --severity --limit --json --config --help --version' ;;
        'chat') words='--agent --model --persona --config --help --version' ;;
        'approvals') words='--allow --refuse --json --config --help --version' ;;
        'token create') words='--role --days --jwt --config --help --version' ;;
        'token list') words='--json --config --help --version' ;;
        'token revoke') words='--config --help --version' ;;
        'token rotate') words='--config --help --version' ;;
        'webhook sign') words='--secret --id --timestamp --config --help --version' ;;
        'webhook verify') words='--secret --id --timestamp --signature --fresh --config --help --version' ;;
        'webhook send') words='--type --data --secret --id --config --help --version' ;;
        'ledger verify') words='--quiet --config --help --version' ;;
        'ledger stats') words='--config --help --version' ;;
        'ledger compact') words='--config --help --version' ;;
        'ledger salvage') words='--config --help --version' ;;
        'service install') words='--dry-run --config --help --version' ;;
        'service uninstall') words='--dry-run --config --help --version' ;;
        'service status') words='--config --help --version' ;;
        'version') words='--config --help --version' ;;
        'help') words='run check config status events chat approvals token webhook ledger service version help' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    [[ ${#COMPREPLY[@]} -gt 0 ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -o filenames -F _chainbot chainbot
