/**
 * People at work who do not give up: every change carries an Idempotency-Key and is asked for again until it is answered.
 * What was answered is remembered, to be compared with what the server still knows after it was killed.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Answer, Writ } from '../servers/writ.ts'

export type Acknowledged = {
  tickets: { id: string; number: number; title: string }[]
  runs: { id: string; number: number; ticket: number }[]
  uploads: { id: string; run: number; filename: string; sha256: string; bytes: string }[]
}

export type Load = {
  readonly acknowledged: Acknowledged
  /** Answers that were neither success nor a refusal that says "try again": each is a failure of the test. */
  readonly refused: string[]
  /** Codes of the refusals that said "try again", with how often. */
  readonly unavailable: Map<string, number>
  /** Resolves after that many more answers. */
  answered(count: number): Promise<void>
  /** Lets every person finish what is under way; the server must be up. */
  end(): Promise<void>
  /** Everybody gives up at once: for a test that failed. */
  abandon(): void
}

const RETRY_MS = 15

export function startLoad(writ: Writ, people: number): Load {
  const acknowledged: Acknowledged = { tickets: [], runs: [], uploads: [] }
  const refused: string[] = []
  const unavailable = new Map<string, number>()
  let answers = 0
  let waiting: { at: number; resolve(): void }[] = []
  let ending = false
  let abandoned = false

  async function insist(ask: (key: Record<string, string>) => Promise<Answer>): Promise<Answer | undefined> {
    const key = { 'idempotency-key': randomUUID() }
    while (!abandoned) {
      try {
        const answer = await ask(key)
        if (answer.status === 200 || answer.status === 201) {
          answers++
          for (const one of waiting) if (one.at <= answers) one.resolve()
          waiting = waiting.filter((one) => one.at > answers)
          return answer
        }
        const code = String(answer.body.code)
        const again = answer.status === 503 || code === 'IDEMPOTENCY_IN_FLIGHT'
        if (!again || !answer.type.startsWith('application/problem+json')) {
          refused.push(`${answer.status} ${answer.type} ${JSON.stringify(answer.body)}`)
          return undefined
        }
        unavailable.set(code, (unavailable.get(code) ?? 0) + 1)
      } catch {
        // The connection broke: the change may or may not have happened, and the same key finds out.
      }
      await pause(RETRY_MS)
    }
    return undefined
  }

  async function person(name: number): Promise<void> {
    for (let i = 0; !ending; i++) {
      const title = `Ticket ${name}-${i}`
      const ticket = await insist((key) => writ.call('POST', '/tickets', { title }, key))
      if (!ticket) return
      const number = Number(ticket.body.number)
      acknowledged.tickets.push({ id: String(ticket.body.id), number, title })
      if (i % 3 !== 0) continue
      const body = { run_type: 'proof', ticket_id: number, script_id: 'proof.file_hash' }
      const run = await insist((key) => writ.call('POST', '/runs', body, key))
      if (!run) return
      acknowledged.runs.push({ id: String(run.body.id), number: Number(run.body.number), ticket: number })
      const bytes = randomBytes(1 + Math.floor(Math.random() * 40_000)).toString('hex')
      const filename = `evidence-${name}-${i}.txt`
      const upload = await insist((key) => writ.upload(Number(run.body.number), filename, bytes, key))
      if (!upload) return
      acknowledged.uploads.push({
        id: String(upload.body.id ?? Reflect.get(Object(upload.body.artifact), 'id')),
        run: Number(run.body.number),
        filename,
        sha256: createHash('sha256').update(bytes).digest('hex'),
        bytes,
      })
    }
  }

  const working = Array.from({ length: people }, (_, name) => person(name))
  return {
    acknowledged,
    refused,
    unavailable,
    answered: (count) =>
      Promise.race([
        new Promise<void>((resolve) => waiting.push({ at: answers + count, resolve })),
        // Nobody left to be answered: the assertions on `refused` say why.
        Promise.all(working).then(() => {}),
      ]),
    async end() {
      ending = true
      await Promise.all(working)
    },
    abandon() {
      ending = true
      abandoned = true
    },
  }
}
