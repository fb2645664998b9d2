/** `node test/channels/model/main.ts --store sqlite|postgres --seed 1 --programs 100 --length 60 [--restarts]`; see `playPrograms`. */
import { playPrograms } from '../../play-programs.ts'
import { programOf } from './program.ts'
import { openTable } from './table.ts'

await playPrograms({
  length: 60,
  openTable,
  programOf,
  // Whichever order of whichever program it was.
  kindOf: ({ message }) =>
    message
      .replace(/^order [0-9]+, \{.*?\}+: /, '')
      .replace(/[0-9]+/g, '')
      .slice(0, 60),
})
process.exit()
