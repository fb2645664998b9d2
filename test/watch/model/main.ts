/** `node test/watch/model/main.ts --store sqlite|postgres --seed 1 --programs 100 --length 60 [--restarts]`; see `playPrograms`. */
import { playPrograms } from '../../play-programs.ts'
import { programOf } from './program.ts'
import { openTable } from './table.ts'

await playPrograms({
  length: 60,
  openTable,
  programOf,
})
process.exit()
