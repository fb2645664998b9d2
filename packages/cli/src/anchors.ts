import type { LogAnchor } from '@writ/api'
import { type Client, WritError } from '@writ/sdk'
import { followKeyChanges, openUnderPolicy, type Policy, parsePolicy, verifyAnchor } from '@writ/tlog'
import { exitCodes } from './exit-codes.ts'
import { Failure } from './failure.ts'
import { readGiven } from './given-file.ts'
import { sha256, verifyEd25519 } from './verify-crypto.ts'

/** A state of a log for which the witnesses of a policy stand. `time` of each in Unix seconds. */
export interface AnchoredState {
  readonly size: number
  readonly root: Uint8Array
  readonly cosigners: readonly { name: string; time: number }[]
  /** Keys of the instance log that were taken from the server, because the policy names no log. */
  readonly trusted: readonly string[]
}

/** The policy in a file. Throws a Failure with the line that is wrong. */
export async function loadPolicy(file: string): Promise<Policy> {
  const text = await readGiven(file, { advice: 'Give a policy as c2sp.org/tlog-policy has it.' })
  try {
    return parsePolicy(text, sha256)
  } catch (error) {
    throw new Failure(`${file} is no policy: ${error instanceof Error ? error.message : String(error)}`, {
      exit: exitCodes.usage,
    })
  }
}

/** The largest state of the log that is anchored under the policy, verified here. Throws a Failure if there is none. */
export async function loadAnchoredState(
  client: Client,
  log: { origin: string; vkeys: readonly string[] },
  policy: Policy,
): Promise<AnchoredState> {
  const evidence = await client.audit.anchor().catch((error: unknown) => {
    if (error instanceof WritError && error.code === 'LOG_NOT_ANCHORED') throw notAnchored(error.detail, error.code)
    throw error
  })
  const trust = { hash: sha256, verify: verifyEd25519 }
  if (evidence.via === 'log' || !evidence.instance) {
    const opened = await openUnderPolicy(evidence.checkpoint, {
      policy,
      vkeys: log.vkeys,
      origin: log.origin,
      ...trust,
    })
    if (!opened.ok) throw notAnchored(opened.reason, opened.code)
    return { ...opened.checkpoint, cosigners: opened.cosigners, trusted: [] }
  }
  const trusted = policy.logs.length > 0 ? [] : evidence.instance.vkeys
  // The policy names the key of its day; the instance log itself says which came after it. A list that is wrong leads no further.
  const { vkeys } = await followKeyChanges({
    vkeys: policy.logs.filter(({ origin }) => origin === evidence.instance?.origin).map(({ vkey }) => vkey),
    files: evidence.instance.key_changes ?? [],
    origin: evidence.instance.origin,
    ...trust,
  })
  const verdict = await verifyAnchor(anchorOf(evidence.instance), { policy, vkeys: [...trusted, ...vkeys], ...trust })
  if (!verdict.ok) throw notAnchored(verdict.reason, verdict.code)
  const { origin, size, root } = verdict.recorded
  if (origin !== log.origin) throw notAnchored(`the anchor is one of ${origin}`, 'ANCHOR_INVALID')
  return { size, root, cosigners: verdict.cosigners, trusted }
}

const anchorOf = ({ entry, payload, salt, proof }: NonNullable<LogAnchor['instance']>) => ({
  entry: new Uint8Array(Buffer.from(entry, 'base64')),
  payload: new Uint8Array(Buffer.from(payload)),
  salt: new Uint8Array(Buffer.from(salt, 'hex')),
  proof,
})

const YOUNG =
  'A log that was just opened, as after "writ log rotate", is anchored within two minutes: try again then. If it stays so, the operator looks at the witnesses in /readyz.'

const notAnchored = (reason: string, code: string) =>
  new Failure(`The log is not anchored as the policy asks: ${reason}`, {
    exit: exitCodes.verificationFailed,
    code,
    ...(code === 'LOG_NOT_ANCHORED' ? { advice: YOUNG } : {}),
  })
