/** `node test/approvals/model/main.ts --store sqlite|postgres --seed 1 --programs 100 --length 80 [--restarts]`; see `playPrograms`. */
import { playPrograms } from '../../play-programs.ts'
import { programOf } from './program.ts'
import { openTable } from './table.ts'

await playPrograms({
  length: 80,
  openTable,
  programOf,
})
process.exit()
