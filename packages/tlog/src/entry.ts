import { equalBytes, fromUtf8, toHex, toUtf8 } from './bytes.ts'
import type { Hash } from './merkle.ts'

// Leaf entry, version 1. Once an entry is in a log its bytes are for ever: nothing here may change what a valid entry
// encodes to, or which bytes decode. A new field is a new version.

export const MAX_ENTRY_BYTES = 4096

/** The names an entry may have, in the order in which RFC 8785 writes them. */
const ENTRY_KEYS = ['act', 'actor', 'att', 'ckpt', 'claim', 'id', 'pl', 'res', 'run', 'seq', 't', 'v'] as const

export type EntryKey = (typeof ENTRY_KEYS)[number]

/** Who acted: an opaque id, never a name or an address. */
export type EntryActor = { kind: 'user' | 'agent' | 'system' | 'token'; id: string }

/** A payload kept outside the log: its name, salted commitment and length in bytes. */
export type EntryPayload = { n: string; c: string; len: number }

/** One leaf of the audit log. Optional fields are left out, never null or empty. */
export type Entry = {
  v: 1
  /** UUIDv7. */
  id: string
  /** UTC with milliseconds: 2026-11-22T16:00:00.000Z. */
  t: string
  /** Dense within a run, from 0. */
  seq: number
  run?: string | undefined
  actor: EntryActor
  /** What happened, dotted: `run.tool.call`. */
  act: string
  /** What it happened to: an opaque id. */
  res?: string | undefined
  /** Fields that the agent asserts, as opposed to those which the platform saw. */
  claim?: readonly EntryKey[] | undefined
  pl: readonly EntryPayload[]
  /** Digests of DSSE payloads, `sha256:<hex>`. */
  att?: readonly string[] | undefined
  /** Root of the newest cosigned checkpoint, base64: "not before". Only in `run.started`. */
  ckpt?: string | undefined
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const ACT = /^[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*$/
const COMMITMENT = /^hmac-sha256:[0-9a-f]{64}$/
const DIGEST = /^sha256:[0-9a-f]{64}$/
// 32 bytes leave two unused bits in the last character before the padding, so only every fourth letter may stand there.
const ROOT = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/
const ACTOR_KINDS: readonly string[] = ['user', 'agent', 'system', 'token'] satisfies EntryActor['kind'][]

/**
 * The bytes of an entry: RFC 8785 canonical JSON, at most 4,096 bytes. Throws with the field's name on a value that has
 * no place in an entry, on an unknown field, and on an entry that is too long.
 */
export function encodeEntry(entry: Entry): Uint8Array {
  refuseBadEntry(entry)
  const json = writeEntry(entry)
  if (json.length > MAX_ENTRY_BYTES) throw tooLong(toUtf8(json).length)
  // A character has at most three bytes.
  if (room.length - used < 3 * json.length) {
    room = new Uint8Array(ROOM_BYTES)
    used = 0
  }
  const { written } = encoder.encodeInto(json, room.subarray(used))
  if (written > MAX_ENTRY_BYTES) throw tooLong(written)
  used += written
  return room.subarray(used - written, used)
}

const tooLong = (bytes: number) => new Error(`the entry has ${bytes} bytes; at most ${MAX_ENTRY_BYTES}`)

// Entries share their memory, many to a piece: each with memory of its own costs more than what is done with it.
const ROOM_BYTES = 64 * 1024
const encoder = new TextEncoder()
let room = new Uint8Array(ROOM_BYTES)
let used = 0

/**
 * The entry these bytes are. Throws with the reason unless they are exactly what `encodeEntry` writes: repeated keys,
 * spaces, other key orders, other spellings of a number and unknown fields are all refused.
 */
export function decodeEntry(bytes: Uint8Array): Entry {
  if (bytes.length > MAX_ENTRY_BYTES) throw tooLong(bytes.length)
  let value: unknown
  try {
    value = JSON.parse(fromUtf8(bytes))
  } catch (cause) {
    throw new Error('the entry is not JSON in UTF-8', { cause })
  }
  refuseBadEntry(value)
  if (!equalBytes(toUtf8(writeEntry(value)), bytes)) throw new Error('the entry is not canonical JSON (RFC 8785)')
  return value
}

/**
 * The salted commitment of a payload, `hmac-sha256:<hex>`: HMAC-SHA256 keyed with a salt of 32 random bytes that is kept
 * beside the payload and erased with it. Check: `openssl dgst -sha256 -mac HMAC -macopt hexkey:<salt> payload`.
 */
export function commitment(payload: Uint8Array, salt: Uint8Array, hash: Hash): string {
  if (salt.length !== 32) throw new Error('a salt has 32 bytes')
  // HMAC (RFC 2104) with a key shorter than the block: the key, then zeros, under each of the two pads.
  const length = 64 + payload.length
  if (inner.length < length) inner = new Uint8Array(2 * length)
  for (let i = 0; i < 32; i++) {
    inner[i] = salt[i]! ^ 0x36
    outer[i] = salt[i]! ^ 0x5c
  }
  inner.fill(0x36, 32, 64)
  inner.set(payload, 64)
  outer.set(hash(inner.subarray(0, length)), 64)
  return formatCommitment(hash(outer))
}

// Used anew by every commitment: an array buffer of its own costs more than the hashing of a short payload.
let inner = new Uint8Array(2_048)
const outer = new Uint8Array(96).fill(0x5c)

/** The text of a finished HMAC-SHA256 of 32 bytes. */
export function formatCommitment(mac: Uint8Array): string {
  if (mac.length !== 32) throw new Error('an HMAC-SHA256 has 32 bytes')
  return `hmac-sha256:${toHex(mac)}`
}

// Written by hand in canonical key order: JSON.stringify quotes strings exactly as RFC 8785 asks, and integers are
// their own text, so no sorting is left to do.
function writeEntry(entry: Entry): string {
  const { act, actor, att, ckpt, claim, id, pl, res, run, seq, t } = entry
  let json = `{"act":"${act}","actor":{"id":${JSON.stringify(actor.id)},"kind":"${actor.kind}"}`
  if (att) json += `,"att":["${att.join('","')}"]`
  if (ckpt !== undefined) json += `,"ckpt":"${ckpt}"`
  if (claim) json += `,"claim":["${claim.join('","')}"]`
  json += `,"id":"${id}","pl":[`
  for (let i = 0; i < pl.length; i++) {
    const { c, len, n } = pl[i]!
    json += `${i > 0 ? ',' : ''}{"c":"${c}","len":${len},"n":${JSON.stringify(n)}}`
  }
  json += ']'
  if (res !== undefined) json += `,"res":${JSON.stringify(res)}`
  if (run !== undefined) json += `,"run":${JSON.stringify(run)}`
  return `${json},"seq":${seq},"t":"${t}","v":1}`
}

function refuseBadEntry(value: unknown): asserts value is Entry {
  const entry = record(value, 'entry', ENTRY_KEYS)
  if (entry.v !== 1) throw new Error('v: this reads version 1 only')
  text(entry.id, 'id', UUID_V7)
  refuseBadInstant(entry.t)
  count(entry.seq, 'seq')
  if (entry.run !== undefined) opaque(entry.run, 'run')
  const actor = record(entry.actor, 'actor', ['id', 'kind'])
  opaque(actor.id, 'actor.id')
  if (typeof actor.kind !== 'string' || !ACTOR_KINDS.includes(actor.kind)) throw new Error('actor.kind: unknown')
  text(entry.act, 'act', ACT)
  if (entry.res !== undefined) opaque(entry.res, 'res')
  if (entry.claim !== undefined) {
    const keys: readonly unknown[] = ENTRY_KEYS
    for (const key of list(entry.claim, 'claim', 1)) if (!keys.includes(key)) throw new Error('claim: unknown field')
    refuseRepeats(list(entry.claim, 'claim', 1), 'claim')
  }
  const names: unknown[] = []
  for (const item of list(entry.pl, 'pl', 0)) {
    const payload = record(item, 'pl', ['c', 'len', 'n'])
    opaque(payload.n, 'pl.n')
    text(payload.c, 'pl.c', COMMITMENT)
    count(payload.len, 'pl.len')
    names.push(payload.n)
  }
  refuseRepeats(names, 'pl.n')
  if (entry.att !== undefined) for (const digest of list(entry.att, 'att', 1)) text(digest, 'att', DIGEST)
  if (entry.ckpt !== undefined) {
    text(entry.ckpt, 'ckpt', ROOT)
    if (entry.act !== 'run.started') throw new Error('ckpt: only in run.started')
  }
}

// Entries come many to the millisecond, and reading a date costs as much as all the other fields.
let goodInstant = ''

function refuseBadInstant(value: unknown): void {
  if (value === goodInstant) return
  const t = text(value, 't', INSTANT)
  const instant = new Date(t)
  if (Number.isNaN(instant.getTime()) || instant.toISOString() !== t) throw new Error('t: no such instant')
  goodInstant = t
}

function record(value: unknown, name: string, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${name}: not an object`)
  for (const key of Object.keys(value)) if (!keys.includes(key)) throw new Error(`${name}: unknown field ${key}`)
  // A non-null object that is no array can be read by key; each member is checked by the caller.
  return value as Record<string, unknown>
}

function list(value: unknown, name: string, least: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${name}: not an array`)
  if (value.length < least) throw new Error(`${name}: empty; leave it out`)
  return value
}

function text(value: unknown, name: string, form: RegExp): string {
  if (typeof value !== 'string' || !form.test(value)) throw new Error(`${name}: not of the form ${form.source}`)
  return value
}

function opaque(value: unknown, name: string): void {
  if (typeof value !== 'string' || value === '') throw new Error(`${name}: not a text, or empty`)
  if (!value.isWellFormed()) throw new Error(`${name}: a lone surrogate has no UTF-8 form`)
}

function count(value: unknown, name: string): void {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || Object.is(value, -0)) {
    throw new Error(`${name}: not a whole number from 0 to 2^53 - 1`)
  }
}

function refuseRepeats(values: readonly unknown[], name: string): void {
  if (values.length < 2) return
  if (new Set(values).size !== values.length) throw new Error(`${name}: repeated`)
}
