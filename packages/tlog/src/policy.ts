import { toHex } from './bytes.ts'
import { type Checkpoint, type CheckpointRefusal, openCheckpoint } from './checkpoint.ts'
import type { Hash } from './merkle.ts'
import { parseVkey, SIGNATURE_COSIGNATURE, SIGNATURE_ED25519, type Signer, type VerifyEd25519 } from './note.ts'

// Trust policies, c2sp.org/tlog-policy: which logs, which witnesses, and how many of them must have cosigned.

/** A witness as the policy names it. The name means nothing outside of the policy; the key's own name is in `vkey`. */
export type PolicyWitness = { name: string; vkey: string; keyName: string; keyId: number; url?: string }

/** A group has witnessed what at least `threshold` of its members have. Members are witnesses and earlier groups. */
export type PolicyGroup = { name: string; threshold: number; members: readonly string[] }

export type Policy = {
  logs: readonly { vkey: string; origin: string; url?: string }[]
  witnesses: readonly PolicyWitness[]
  groups: readonly PolicyGroup[]
  /** A witness, a group, or `none`: no cosignature is asked for. */
  quorum: string
}

/**
 * Reads a policy file. Throws with the line and the reason on anything that the format does not allow, and on keys of
 * types that we do not verify: a policy that is half understood would promise more than it checks.
 */
export function parsePolicy(text: string, hash: Hash): Policy {
  const logs: Policy['logs'][number][] = []
  const witnesses: PolicyWitness[] = []
  const groups: PolicyGroup[] = []
  const names = new Set<string>()
  const keys = { log: new Set<string>(), witness: new Set<string>() }
  let quorum: string | undefined

  function define(name: string): string {
    if (name === 'none') throw new Error('"none" is no name for a witness or a group')
    if (names.has(name)) throw new Error(`"${name}" is defined twice`)
    names.add(name)
    return name
  }
  function keyOf(kind: 'log' | 'witness', vkey: string) {
    const key = parseVkey(vkey, hash)
    const type = kind === 'log' ? SIGNATURE_ED25519 : SIGNATURE_COSIGNATURE
    if (key.type !== type) throw new Error(`the key of a ${kind} has type ${type}, not ${key.type}`)
    // The same key under another name would let one party count twice.
    const material = toHex(key.publicKey)
    if (keys[kind].has(material)) throw new Error(`this key is listed twice`)
    keys[kind].add(material)
    return key
  }
  function known(name: string): string {
    if (!names.has(name)) throw new Error(`"${name}" is not defined on a line above`)
    return name
  }
  function read([keyword, ...words]: readonly string[]): void {
    const [first = '', second = '', third, ...rest] = words
    if (keyword === 'log') {
      if (words.length < 1 || words.length > 2) throw new Error('a log is "log <vkey> [<url>]"')
      logs.push({ vkey: first, origin: keyOf('log', first).name, ...(second === '' ? {} : { url: second }) })
    } else if (keyword === 'witness') {
      if (words.length < 2 || rest.length > 0) throw new Error('a witness is "witness <name> <vkey> [<url>]"')
      const { name: keyName, keyId } = keyOf('witness', second)
      witnesses.push({
        name: define(first),
        vkey: second,
        keyName,
        keyId,
        ...(third === undefined ? {} : { url: third }),
      })
    } else if (keyword === 'group') {
      const members = words.slice(2).map(known)
      if (members.length === 0) throw new Error('a group is "group <name> <k|any|all> <member>..."')
      if (new Set(members).size !== members.length) throw new Error('a group names each member once')
      groups.push({ name: define(first), threshold: thresholdOf(second, members.length), members })
      for (const member of members)
        if (claimed.has(member)) throw new Error(`"${member}" is a member of a group already`)
      for (const member of members) claimed.add(member)
    } else if (keyword === 'quorum') {
      if (words.length !== 1) throw new Error('a quorum is "quorum <name>"')
      if (quorum !== undefined) throw new Error('a policy has one quorum')
      quorum = first === 'none' ? first : known(first)
    } else {
      throw new Error(`a line begins with log, witness, group or quorum, not "${keyword}"`)
    }
  }

  const claimed = new Set<string>()
  for (const [i, line] of text.split('\n').entries()) {
    try {
      if (/[\x00-\x08\x0b-\x1f\x7f]/.test(line)) throw new Error('a control character other than tab and newline')
      const words = line.split(/[ \t]+/).filter((word) => word !== '')
      if (words.length > 0 && !words[0]!.startsWith('#')) read(words)
    } catch (cause) {
      throw new Error(`line ${i + 1} of the policy: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
      })
    }
  }
  if (quorum === undefined) throw new Error('the policy has no quorum line')
  return { logs, witnesses, groups, quorum }
}

function thresholdOf(word: string, members: number): number {
  if (word === 'any') return 1
  if (word === 'all') return members
  if (!/^[1-9]\d{0,8}$/.test(word) || Number(word) > members)
    throw new Error(`a group of ${members} asks for any, all or 1 to ${members} of them, not "${word}"`)
  return Number(word)
}

/** Whether these verified signatures satisfy the policy's quorum. Times are not judged. */
export function meetsQuorum(policy: Policy, signers: readonly Signer[]): boolean {
  if (policy.quorum === 'none') return true
  const reached = new Set(cosignersOf(policy, signers).map(({ name }) => name))
  // Groups refer only to what stands above them, so one pass settles all.
  for (const group of policy.groups)
    if (group.members.filter((member) => reached.has(member)).length >= group.threshold) reached.add(group.name)
  return reached.has(policy.quorum)
}

/** The policy's witnesses among verified signatures, by the policy's names; `time` in Unix seconds, the newest of each. */
export function cosignersOf(policy: Policy, signers: readonly Signer[]): { name: string; time: number }[] {
  return policy.witnesses.flatMap((witness) => {
    const times = signers
      .filter((s) => s.type === SIGNATURE_COSIGNATURE && s.name === witness.keyName && s.keyId === witness.keyId)
      .map((s) => s.time ?? 0)
    return times.length === 0 ? [] : [{ name: witness.name, time: Math.max(...times) }]
  })
}

export type PolicyVerdict =
  | { ok: true; checkpoint: Checkpoint; signers: Signer[]; cosigners: { name: string; time: number }[] }
  | CheckpointRefusal
  /** `by`: names of those that did cosign. */
  | { ok: false; code: 'QUORUM_NOT_MET'; reason: string; by: readonly string[] }

/**
 * Verifies a checkpoint under a policy: signed by one of the logs, cosigned by a quorum. `vkeys` are further keys of the
 * log, for a policy that names none. Throws only on a malformed vkey.
 */
export async function openUnderPolicy(
  note: string | Uint8Array,
  trust: { policy: Policy; vkeys?: readonly string[]; origin?: string; hash: Hash; verify: VerifyEd25519 },
): Promise<PolicyVerdict> {
  const { policy, hash, verify, origin } = trust
  const vkeys = [...policy.logs.map((log) => log.vkey), ...(trust.vkeys ?? []), ...policy.witnesses.map((w) => w.vkey)]
  const opened = await openCheckpoint(note, { vkeys, hash, verify, origin })
  if (!opened.ok) return opened
  const { checkpoint, signers } = opened
  const cosigners = cosignersOf(policy, signers)
  if (!meetsQuorum(policy, signers)) {
    const by = cosigners.map(({ name }) => name)
    const reason = `the quorum "${policy.quorum}" is not met: cosigned by ${by.join(', ') || 'nobody'}`
    return { ok: false, code: 'QUORUM_NOT_MET', reason, by }
  }
  return { ok: true, checkpoint, signers, cosigners }
}
