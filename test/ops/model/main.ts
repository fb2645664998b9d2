/** `node test/ops/model/main.ts --store sqlite|postgres --seed 1 --programs 20 --length 25 [--restarts]`; see `playPrograms`. */
import { playPrograms } from '../../play-programs.ts'
import { programOf } from './program.ts'
import { openTable } from './table.ts'

await playPrograms({
  length: 25,
  openTable: (store: 'sqlite' | 'postgres') => openTable(store, { outsiders: true }),
  programOf,
})
process.exit()
