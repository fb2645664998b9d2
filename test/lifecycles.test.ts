// docs/lifecycles.md is what people read about states; the tables in the code are what happens.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { moves as runMoves } from '../packages/server/src/runs/run.ts'
import { moves as ticketMoves } from '../packages/server/src/tickets/ticket.ts'

const page = await readFile(new URL('../docs/lifecycles.md', import.meta.url), 'utf8')

/** The arrows of the state diagram below a heading, as a table of moves; and the states where it begins and ends. */
function diagramOf(heading: string) {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const diagram = /```mermaid\nstateDiagram-v2\n([^`]*)```/.exec(section)?.[1] ?? ''
  const moves: Record<string, string[]> = {}
  const ends: string[] = []
  for (const line of diagram.trim().split('\n')) {
    const [, from = '', to = ''] = /^ {2}(\S+) --> (\S+)$/.exec(`  ${line.trim()}`) ?? assert.fail(`no arrow: ${line}`)
    if (to === '[*]') ends.push(from)
    for (const state of [from, to]) if (state !== '[*]') moves[state] ??= []
    if (from !== '[*]' && to !== '[*]') moves[from]?.push(to)
  }
  return { moves: sorted(moves), ends: ends.sort() }
}

const sorted = (moves: Readonly<Record<string, readonly string[]>>) =>
  Object.fromEntries(Object.entries(moves).map(([from, to]) => [from, to.toSorted()]))

test('the diagram of tickets has the moves that tickets have', () => {
  assert.deepEqual(diagramOf('Tickets').moves, sorted(ticketMoves))
})

test('the diagram of runs has the moves that runs have, and ends where they end', () => {
  const { moves, ends } = diagramOf('Runs')
  assert.deepEqual(moves, sorted(runMoves))
  assert.deepEqual(ends, ['cancelled', 'completed', 'failed', 'timeout'])
})
