import { createHash } from 'node:crypto'
import { decodeEntry, parseEnvelope } from '@writ/tlog'
import { type Database, inProject } from '../platform/db/index.ts'
import { Found } from './finding.ts'
import * as store from './store.ts'

/**
 * Every attestation that these entries name is there, with the payload that the log names. Envelopes are evidence's
 * table; that they were changed is the log's to tell. Throws Found. Rows come in log order from `from` on.
 */
export async function compareAttestations(on: {
  db: Database
  project: string
  rows: readonly store.LogRow[]
  from: number
}): Promise<void> {
  const named = on.rows.flatMap(({ entry }, i) =>
    (decodeEntry(entry).att ?? []).map((att) => ({ att, index: on.from + i })),
  )
  if (named.length === 0) return
  const digests = named.map(({ att }) => att.replace('sha256:', ''))
  const kept = await inProject(on.project, () => on.db.read((tx) => store.listEnvelopes(tx, digests)))
  for (const { att, index } of named) {
    const envelope = kept.find(({ digest }) => att === `sha256:${digest}`)?.envelope
    if (envelope === undefined)
      throw new Found({
        code: 'ATTESTATION_MISSING',
        index,
        reason: `entry ${index} names an attestation that is gone`,
      })
    if (`sha256:${payloadDigest(envelope)}` !== att)
      throw new Found({
        code: 'ATTESTATION_CHANGED',
        index,
        reason: `the attestation that entry ${index} names has another payload`,
      })
  }
}

function payloadDigest(envelope: string): string {
  try {
    return createHash('sha256').update(parseEnvelope(envelope).payload).digest('hex')
  } catch {
    return 'not an envelope'
  }
}
