// Every `writ ...` that a page or a help text shows is one that the command line takes: commands, arguments, options, choices.
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { Command } from 'commander'
import { loadSettings } from '../packages/cli/src/config.ts'
import { createProgram } from '../packages/cli/src/writ.ts'

const root = path.join(import.meta.dirname, '..')

/** All commands, which do nothing: only what they are given is looked at. `said` is what they say of it. */
function openProgram(): { program: Command; said: () => string } {
  const stderr = new PassThrough()
  let text = ''
  stderr.on('data', (chunk) => {
    text += String(chunk)
  })
  const { program } = createProgram(
    {
      stdin: new PassThrough(),
      stdout: new PassThrough(),
      stderr,
      now: () => new Date('2026-10-21T07:28:00Z'),
      ticks: () => 0,
      signal: new AbortController().signal,
      stopped: () => new Promise(() => {}),
    },
    loadSettings(),
  )
  for (const command of leavesOf(program)) command.action(() => {})
  return { program, said: () => text }
}

/** What does something: commands without further ones, and those that take something themselves. */
const leavesOf = (command: Command): Command[] => {
  const leaves = command.commands.flatMap(leavesOf)
  return leaves.length === 0 || command.registeredArguments.length > 0 ? [command, ...leaves] : leaves
}

const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}`.trim() : ''

/** What a shell hands over of a line that begins with `writ`: up to a pipe, a redirection, another command or a comment. */
function wordsOf(line: string): string[] {
  const words: string[] = []
  const token = /\s*(?:([|;#].*|&&.*|>.*)|((?:"(?:[^"\\]|\\.)*"|'[^']*'|<[^<>]*>|\\.|[^\s"'|;])+))/y
  for (let match = token.exec(line); match !== null; match = token.exec(line)) {
    if (match[2] === undefined) break
    words.push(match[2].replace(/"((?:[^"\\]|\\.)*)"|'([^']*)'/g, (_, double, single) => double ?? single))
  }
  return words
}

/** The lines of a text that call the command line, without what is said beside them in help texts. */
const callsOf = (text: string): string[] =>
  [...text.replaceAll(/\\\n\s*/g, ' ').matchAll(/^\s*(?:[\w ]+\| )?(writ .*)$/gm)].map(([, line]) =>
    line!.replace(/ {3,}.*$/, ''),
  )

async function refusalOf(line: string): Promise<string | null> {
  const { program, said } = openProgram()
  const [, ...words] = wordsOf(line)
  try {
    await program.parseAsync(words, { from: 'user' })
    return null
  } catch (error) {
    return said() || (error as Error).message
  }
}

const commands = leavesOf(openProgram().program)

/** The help of a command as it is printed, with what stands behind the list of options. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut(more) {
      text += more
    },
    getOutHelpWidth: () => 200,
  })
  command.outputHelp()
  return text
}

for (const command of commands) {
  test(`the help of "writ ${pathOf(command)}" says what everything is for, with an example that works`, async () => {
    const help = helpOf(command)
    assert.match(command.description(), /^[A-Z]/)
    for (const { flags, description } of command.options) assert.notEqual(description, '', `${flags} is not explained`)
    const takes = command.registeredArguments.length > 0 || command.options.length > 0
    const calls = callsOf(help).filter((line) => !line.startsWith('writ completion'))
    if (takes && pathOf(command) !== 'completion')
      assert.ok(
        calls.some((line) => line.startsWith(`writ ${pathOf(command)}`)),
        'no example',
      )
    for (const line of calls) assert.equal(await refusalOf(line), null, line)
  })
}

test('no command has an option that all have: it would never get it', () => {
  const { program } = openProgram()
  const ofAll = program.options.flatMap(({ long, short }) => [long, short])
  for (const command of commands)
    for (const { long, short } of command.options)
      for (const flag of [long, short]) assert.ok(!flag || !ofAll.includes(flag), `writ ${pathOf(command)} ${flag}`)
})

for (const group of openProgram().program.commands.filter(({ commands }) => commands.length > 0)) {
  test(`the examples of "writ ${group.name()}" work`, async () => {
    for (const line of callsOf(helpOf(group))) assert.equal(await refusalOf(line), null, line)
  })
}

const pages = globSync(['*.md', 'docs/**/*.md', 'examples/**/*.md', 'deploy/**/*.md'], {
  cwd: root,
  exclude: (name) => name === 'node_modules' || name === 'data',
}).sort()

for (const file of pages) {
  test(`the command lines of ${file} are such that there are`, async () => {
    const page = await readFile(path.join(root, file), 'utf8')
    for (const [, body] of page.matchAll(/^ *```(?:sh|bash)\n([\s\S]*?)^ *```$/gm))
      for (const line of callsOf(body!)) assert.equal(await refusalOf(line), null, line)
    // In a sentence a command may be named without what it takes.
    for (const [, line] of page.matchAll(/`(writ [^`\n]*)`/g)) assert.equal(unknownIn(line!), null, line)
  })
}

/** The first word of a command line that is neither a command nor an option of one, if there is one. */
function unknownIn(line: string): string | null {
  let command = openProgram().program
  const globals = command.options
  for (const word of wordsOf(line.replace(/^writ help /, 'writ ')).slice(1)) {
    const flag = /^--?[a-z][a-z-]*/.exec(word)?.[0]
    if (flag !== undefined) {
      const known = [...command.options, ...globals].some(({ long, short }) => flag === long || flag === short)
      if (!known && flag !== '--help') return flag
    } else if (command.commands.length > 0) {
      // `writ queue pause|limit` and `writ task ...` name several.
      const below = command.commands.find((one) => one.name() === word.split('|')[0])
      if (below === undefined) return /^[<…[]|^\.\.\.$/.test(word) ? null : word
      command = below
    }
  }
  return null
}
