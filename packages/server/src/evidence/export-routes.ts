import type { evidenceApi } from '@writ/api'
import { append, type Sequencer, type Witnesses } from '../audit/index.ts'
import type { Caller } from '../identity/index.ts'
import { rfc3339 } from '../platform/clock.ts'
import type { Handlers } from '../platform/http/mount.ts'
import type { Logger } from '../platform/log.ts'
import { listRunsOfTicket } from '../runs/index.ts'
import { type BundleOn, bundleFiles } from './bundle.ts'
import { zipBundle } from './bundle-zip.ts'
import { collect, findSubject } from './collect.ts'
import { sealsOf } from './seals.ts'
import { trailOf } from './trail.ts'

export interface EvidenceOn extends BundleOn {
  readonly sequencer: Sequencer
  readonly log: Logger
  readonly witnesses: Pick<Witnesses, 'cosignersOf'>
}

/** Handing evidence out. That it was asked for is in the log before the first byte leaves. */
export const evidenceHandlers = (on: EvidenceOn): Handlers<typeof evidenceApi, Caller> => ({
  async export(ask) {
    const { caller, body, reply, request } = ask
    const asked = {
      subject: body.subject,
      ref: body.id,
      flagged: body.include_flagged === true,
      whole: body.whole_log === true,
    }
    const { subject } = await ask.change(async (tx) => {
      const found = await findSubject(tx, asked)
      const { type, id, number } = found.subject
      const runs = type === 'ticket' ? (await listRunsOfTicket(tx, id)).length : undefined
      await append(tx, caller.at, caller, {
        type: 'evidence.exported',
        resource: { type, id, number },
        action: `Exported evidence of ${type} ${number}`,
        // Of a number no leaf tells: who is given the bundle finds it said here.
        details: { number, include_flagged: asked.flagged, whole_log: asked.whole, runs },
      })
      return found
    })
    // What was just committed, this export included, is in the log before the bundle is put together.
    await on.sequencer.settle()
    const collected = await ask.read((tx) => collect(tx, asked))
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort(new Error('the client has gone')))
    const project = { id: caller.project!, slug: caller.projectSlug! }
    const zip = zipBundle(bundleFiles(on, project, collected, caller.at), {
      keys: on.keys,
      at: caller.at,
      signal: gone.signal,
    })
    zip.once('error', (err) => {
      if (!gone.signal.aborted) on.log.error({ err, request: request.id }, 'a bundle could not be completed')
    })
    const name = `evidence-${subject.type}-${subject.number}-${rfc3339(caller.at).slice(0, 10)}.zip`
    return reply
      .type('application/zip')
      .header('content-disposition', `attachment; filename="${name}"`)
      .header('cache-control', 'no-store')
      .send(zip)
  },
  trail: (ask) => trailOf(on, ask),
  seals: (ask) => sealsOf(on, ask),
})
