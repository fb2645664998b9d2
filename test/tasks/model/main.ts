/**
 * `node test/tasks/model/main.ts --store sqlite --seed 1 --programs 100 --length 40 [--restarts]`; see `playPrograms`.
 * Stores: sqlite, memory, postgres, redis (on SQLite), redis-postgres.
 */
import { playPrograms } from '../../play-programs.ts'
import { programOf } from './program.ts'
import { openTable } from './table.ts'

await playPrograms({
  length: 40,
  openTable,
  programOf: (seed, { store, ...options }) => programOf(seed, { ...options, line: store.startsWith('redis') }),
  kindOf: ({ message }) => message.replace(/[0-9]+/g, '').slice(0, 25),
})
process.exit()
