import { Argument, type Command } from 'commander'
import type { App } from '../app.ts'

type Words = { path: string; words: string[]; files: boolean }

export function addCompletionCommand(program: Command, app: App): void {
  program
    .command('completion')
    .description('Print what makes the shell complete commands and options')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
bash:  writ completion bash > ~/.local/share/bash-completion/completions/writ
zsh:   writ completion zsh > "\${fpath[1]}/_writ"
fish:  writ completion fish > ~/.config/fish/completions/writ.fish`,
    )
    .action((shell: 'bash' | 'zsh' | 'fish') => app.out().raw(completionScript(program, shell)))
}

/** The completion script of a shell, made from the commands as they are declared. */
export function completionScript(program: Command, shell: 'bash' | 'zsh' | 'fish'): string {
  const tree = wordsOf(program, '')
  if (shell === 'fish') return fishScript(tree)
  const body = bashScript(tree)
  return shell === 'bash' ? body : `#compdef writ\nautoload -U +X bashcompinit && bashcompinit\n${body}`
}

function wordsOf(command: Command, path: string): Words[] {
  const flags = [...command.options, ...(path === '' ? [] : rootOf(command).options)].flatMap(({ long }) => long ?? [])
  const below = command.commands.map((sub) => sub.name())
  const files = command.registeredArguments.some((argument) => /file|from/.test(argument.name()))
  return [
    { path, words: [...below, ...flags, '--help'], files },
    ...command.commands.flatMap((sub) => wordsOf(sub, `${path} ${sub.name()}`.trim())),
  ]
}

function rootOf(command: Command): Command {
  return command.parent ? rootOf(command.parent) : command
}

function bashScript(tree: readonly Words[]): string {
  const cases = tree.map(({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`).join('\n')
  const paths = tree.filter(({ path }) => path !== '').map(({ path }) => `'${path}'`)
  return `_writ() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' words='' next i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="\${path:+$path }\${COMP_WORDS[i]}"
    case "$next" in
      ${paths.join('|')}) path="$next" ;;
    esac
  done
  case "$path" in
${cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _writ writ
`
}

function fishScript(tree: readonly Words[]): string {
  const condition = (path: string) =>
    path === ''
      ? '__fish_use_subcommand'
      : path
          .split(' ')
          .map((word) => `__fish_seen_subcommand_from ${word}`)
          .join('; and ')
  return tree
    .flatMap(({ path, words }) =>
      words.map((word) =>
        word.startsWith('--')
          ? `complete -c writ -n '${condition(path)}' -l ${word.slice(2)}`
          : `complete -c writ -f -n '${condition(path)}' -a ${word}`,
      ),
    )
    .join('\n')
    .concat('\n')
}
