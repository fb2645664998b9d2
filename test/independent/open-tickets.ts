import { setTimeout as pause } from 'node:timers/promises'
import type { Writ } from '../servers/writ.ts'

const CLIENTS = 32
const RETRY_MS = 10

/** Opens tickets until `count` were answered; a broken connection is a client that asks again. */
export async function openTickets(writ: Writ, count: number): Promise<void> {
  let left = count
  const client = async () => {
    while (left > 0) {
      left--
      const answer = await writ.call('POST', '/tickets', { title: 'Port 1/0/7' }).catch(() => undefined)
      if (answer?.status === 200) continue
      left++
      await pause(RETRY_MS)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
}

/** Opens 10,000, through a server that is stopped twice and killed three times meanwhile, and runs at the end. */
export async function openTicketsThroughKills(writ: Writ): Promise<void> {
  for (const end of ['kill9', 'stop', 'kill9', 'stop', 'kill9'] as const) {
    const working = openTickets(writ, 2_000)
    // Killed under load; a polite end comes when the work is done.
    if (end === 'stop') await working
    else await Promise.race([working, openTickets(writ, 500)])
    await writ[end]()
    await writ.start()
    await working
  }
}
