import type { Command } from 'commander'

/** Words for the same in other tools. Each command has one of them, and says which to whoever comes with another. */
const same: readonly (readonly string[])[] = [
  ['open', 'add', 'create', 'new', 'start', 'run', 'enrol', 'register', 'dispatch', 'enqueue'],
  ['edit', 'change', 'update', 'modify', 'set'],
  ['delete', 'remove', 'rm', 'revoke', 'deactivate', 'disable', 'close', 'cancel', 'destroy'],
  ['show', 'get', 'describe', 'view', 'inspect', 'status'],
  ['list', 'ls'],
  ['get', 'download', 'fetch'],
  ['upload', 'put', 'push'],
  ['retry', 'replay', 'rerun'],
  ['pause', 'stop', 'suspend', 'drain'],
]

/** What the first word that is no command may mean, of the commands that are there: `open` of `ticket create`. */
export function meantBy(program: Command, args: readonly string[]): string[] {
  let command = program
  for (const word of args) {
    if (word.startsWith('-') || (word === 'help' && command === program)) continue
    const below = command.commands.find((one) => one.name() === word)
    if (below) {
      command = below
      continue
    }
    const there = command.commands.map((one) => one.name())
    return there.filter((name) => same.some((words) => words.includes(word) && words.includes(name)))
  }
  return []
}
