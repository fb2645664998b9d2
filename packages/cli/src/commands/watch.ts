import type { Command } from 'commander'
import { type App, numberText, refOf } from '../app.ts'
import { countOf } from '../listing.ts'
import { safeLine, timeText } from '../text.ts'

interface WatchOptions {
  run?: string
  after?: string
  count?: number
}

export function addWatchCommand(program: Command, app: App): void {
  program
    .command('watch [types...]')
    .description('Print events as they happen, until interrupted')
    .option('--run <run>', 'only what happens to this run', refOf)
    .option('--after <sequence>', 'go on behind this event; 0 for all that ever happened')
    .option('-n, --count <count>', 'end after so many', countOf)
    .addHelpText(
      'after',
      `
Goes on where it was when a connection breaks. With "-o json" each line is one CloudEvent; keep the "sequence" of the
last one, and --after goes on behind it.

Examples:
  writ watch 'run.*' ticket.approved
  writ watch --run 12 -o json`,
    )
    .action(async (types: string[], o: WatchOptions) => {
      const client = await app.client()
      const out = app.out()
      let heard = 0
      for await (const event of client.watch({
        ...(types.length > 0 ? { types } : {}),
        ...(o.run ? { run: o.run } : {}),
        ...(o.after ? { after: o.after } : {}),
      })) {
        const { data } = event
        if (out.format === 'table') {
          const what = [data.resource_type, numberText(data.resource_number)].filter(Boolean).join(' ')
          const who = data.actor_username ?? data.actor_kind
          out.say([timeText(event.time), data.event_type, what, who, safeLine(data.action)].filter(Boolean).join('  '))
        } else out.raw(`${JSON.stringify(event)}\n`)
        heard++
        if (heard === o.count) break
      }
    })
}
