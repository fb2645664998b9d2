import { Argument, type Command, type Option } from 'commander'
import type { App } from '../app.ts'

/** What may follow a command: words and long options; and what may follow each of its options that takes one of a few values. */
type Words = { path: string; words: string[]; values: { flags: string[]; long: string; choices: string[] }[] }

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
function completionScript(program: Command, shell: 'bash' | 'zsh' | 'fish'): string {
  const tree = wordsOf(program, '')
  if (shell === 'fish') return fishScript(tree)
  const body = bashScript(tree)
  return shell === 'bash' ? body : `#compdef writ\nautoload -U +X bashcompinit && bashcompinit\n${body}`
}

function wordsOf(command: Command, path: string): Words[] {
  const options = [...command.options, ...(path === '' ? [] : rootOf(command).options)]
  const flags = options.flatMap(({ long }) => long ?? [])
  const below = command.commands.map((sub) => sub.name())
  const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? [])
  return [
    { path, words: [...below, ...choices, ...flags, '--help'], values: options.flatMap(valuesOf) },
    ...command.commands.flatMap((sub) => wordsOf(sub, `${path} ${sub.name()}`.trim())),
  ]
}

function valuesOf({ long, short, argChoices }: Option): Words['values'] {
  if (!long || !argChoices) return []
  return [{ flags: short ? [long, short] : [long], long, choices: argChoices }]
}

function rootOf(command: Command): Command {
  return command.parent ? rootOf(command.parent) : command
}

function bashScript(tree: readonly Words[]): string {
  const cases = tree.map(({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`).join('\n')
  const values = tree
    .flatMap(({ path, values }) => values.map((one) => ({ path, ...one })))
    .map(
      ({ path, flags, choices }) =>
        `    ${flags.map((flag) => `'${path} ${flag}'`).join('|')}) words='${choices.join(' ')}' ;;`,
    )
    .join('\n')
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
  case "$path \${COMP_WORDS[COMP_CWORD-1]}" in
${values}
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
    .flatMap(({ path, words, values }) =>
      words.map((word) => {
        if (!word.startsWith('--')) return `complete -c writ -f -n '${condition(path)}' -a ${word}`
        const choices = values.find(({ long }) => long === word)?.choices
        const value = choices ? ` -x -a '${choices.join(' ')}'` : ''
        return `complete -c writ -n '${condition(path)}' -l ${word.slice(2)}${value}`
      }),
    )
    .join('\n')
    .concat('\n')
}
