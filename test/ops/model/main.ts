/** `node test/ops/model/main.ts --store sqlite|postgres --seed 1 --programs 20 --length 25 [--restarts]`; see `playPrograms`. */
import { playPrograms } from '../../play-programs.ts'
import { programOf } from './program.ts'
import { openTable } from './table.ts'

await playPrograms({
  length: 25,
  openTable: (store: 'sqlite' | 'postgres') => openTable(store, { outsiders: true }),
  programOf,
  // Whichever order of whichever program it was.
  kindOf: ({ message }) =>
    message
      .replace(/^order [0-9]+, \{.*?\}+: /, '')
      .replace(/[0-9a-f]{8,}|[0-9]+/g, '')
      .slice(0, 60),
})
process.exit()
