// The same damaged log to our verifier and to the one in Go: the same verdict, whatever was damaged.
import assert from 'node:assert/strict'
import { createHash, verify } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { spkiOf, verifyLog } from '@writ/tlog'
import { buildLog, makeKey, sha256 } from '../../packages/tlog/test/memory-log.ts'
import { buildVerifier, missingGo } from '../servers/go-verifier.ts'
import { missingBackend } from '../servers/missing-backend.ts'

const SIZE = 700
const key = makeKey('example.org/log')
const log = await buildLog(
  Array.from({ length: SIZE }, (_, i) => Buffer.from(`entry number ${i} with some text`)),
  key,
)
const bytesOf = (name: string) => Buffer.from(log.get(name)!)
const note = bytesOf('checkpoint').toString()
const text = note.slice(0, note.indexOf('\n\n') + 1)
const signatures = note.slice(note.indexOf('\n\n') + 2)
const [origin, size, root] = text.split('\n') as [string, string, string]

/** A note over any text, signed with the log's own key. */
async function signedNote(what: string): Promise<string> {
  const hashed = createHash('sha256').update(`${key.name}\n`).update(Buffer.of(1)).update(key.publicKey)
  const signature = Buffer.concat([hashed.digest().subarray(0, 4), await key.sign(Buffer.from(what))])
  return `${what}\n— ${key.name} ${signature.toString('base64')}\n`
}

type Damage = (at: (name: string) => string) => Promise<unknown>
const checkpoint =
  (said: string): Damage =>
  (at) =>
    writeFile(at('checkpoint'), said)
const resigned =
  (...lines: string[]): Damage =>
  async (at) =>
    writeFile(at('checkpoint'), await signedNote(`${lines.join('\n')}\n`))
const changed =
  (name: string, change: (bytes: Buffer) => Uint8Array): Damage =>
  (at) =>
    writeFile(at(name), change(bytesOf(name)))
const flipped = (at: number) => (bytes: Buffer) => {
  bytes[at]! ^= 1
  return bytes
}
const longer = (by: number) => (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(by)])

/** How each is judged; `entry` is the first bad one, where a damage leaves no doubt which it is. */
const cases: readonly { title: string; good?: true; entry?: number; damage: Damage }[] = [
  { title: 'nothing', good: true, damage: async () => {} },
  { title: 'a signature made anew', good: true, damage: resigned(origin, size, root) },
  { title: 'a line more in the checkpoint', good: true, damage: resigned(origin, size, root, 'extension') },
  { title: 'a size with a zero before it', damage: resigned(origin, `0${size}`, root) },
  { title: 'a size with a sign', damage: resigned(origin, `+${size}`, root) },
  { title: 'a negative size', damage: resigned(origin, '-1', root) },
  {
    title: 'no entries',
    good: true,
    damage: resigned(origin, '0', Buffer.from(sha256(new Uint8Array())).toString('base64')),
  },
  { title: 'no entries, and the root of some', damage: resigned(origin, '0', root) },
  { title: 'a size of 64 bits', damage: resigned(origin, '9223372036854775808', root) },
  { title: 'a size of 60 bits', damage: resigned(origin, '1152921504606846976', root) },
  { title: 'a size that is larger', damage: resigned(origin, `${SIZE + 1}`, root) },
  { title: 'a size that is smaller', damage: resigned(origin, `${SIZE - 1}`, root) },
  { title: 'a short root', damage: resigned(origin, size, 'AAAA') },
  {
    title: 'a long root',
    damage: resigned(origin, size, Buffer.concat([Buffer.from(root, 'base64'), Buffer.of(1)]).toString('base64')),
  },
  {
    title: 'a root with stray bits',
    damage: resigned(origin, size, `${root.slice(0, -2)}${String.fromCharCode(root.charCodeAt(42) + 1)}=`),
  },
  { title: 'a root without its padding', damage: resigned(origin, size, root.slice(0, -1)) },
  { title: 'lines that end in two bytes', damage: resigned(`${origin}\r`, `${size}\r`, `${root}\r`) },
  { title: 'another origin', damage: resigned('example.org/other', size, root) },
  { title: 'no signature', damage: checkpoint(`${text}\n`) },
  { title: 'no end of the text', damage: checkpoint(text) },
  {
    title: 'a signature by an unknown key',
    damage: checkpoint(note.replace(/ [A-Za-z0-9+/]{4}([^ ]*)\n$/, ' AAAA$1\n')),
  },
  { title: 'a signature twice', good: true, damage: checkpoint(`${note}${signatures}`) },
  {
    title: 'a bad signature before a good one',
    damage: checkpoint(`${text}\n${signatures.replace(/.{6}\n$/, 'AAAA==\n')}${signatures}`),
  },
  {
    title: 'a signature of somebody else before it',
    good: true,
    damage: checkpoint(`${text}\n— other.example AAAAAAAA\n${signatures}`),
  },
  { title: 'half a signature before it', damage: checkpoint(`${text}\n— ${key.name}\n${signatures}`) },
  { title: 'text behind the signatures', damage: checkpoint(`${note}x`) },
  { title: 'an empty line behind the signatures', damage: checkpoint(`${note}\n`) },
  { title: 'a byte order mark', damage: checkpoint(`\ufeff${note}`) },
  { title: 'an empty checkpoint', damage: checkpoint('') },
  { title: 'no checkpoint', damage: (at) => rm(at('checkpoint')) },
  {
    title: 'an entry more in a partial bundle',
    entry: SIZE,
    damage: changed('tile/entries/002.p/188', (bytes) => Buffer.concat([bytes, Buffer.of(0, 1, 65)])),
  },
  { title: 'a byte more in a partial bundle', entry: SIZE, damage: changed('tile/entries/002.p/188', longer(1)) },
  {
    title: 'an entry more in a full bundle',
    entry: 256,
    damage: changed('tile/entries/000', (bytes) => Buffer.concat([bytes, Buffer.of(0, 1, 65)])),
  },
  { title: 'a hash more in a partial tile', damage: changed('tile/0/002.p/188', longer(32)) },
  { title: 'a hash more in a full tile', damage: changed('tile/0/000', longer(32)) },
  { title: 'a hash less', damage: (at) => truncate(at('tile/0/002.p/188'), 187 * 32) },
  { title: 'no partial tile', damage: (at) => rm(at('tile/0/002.p/188')) },
  { title: 'no partial bundle', damage: (at) => rm(at('tile/entries/002.p/188')) },
  {
    title: 'a full tile in the place of a partial one',
    good: true,
    async damage(at) {
      await writeFile(at('tile/0/002'), longer(68 * 32)(bytesOf('tile/0/002.p/188')))
      await rm(at('tile/0/002.p/188'))
    },
  },
  { title: 'no tile above', damage: (at) => rm(at('tile/1/000.p/2')) },
  { title: 'a changed tile above', damage: changed('tile/1/000.p/2', flipped(40)) },
  { title: 'a changed entry', entry: 286, damage: changed('tile/entries/001', flipped(1_000)) },
  { title: 'a changed length of an entry', entry: 256, damage: changed('tile/entries/001', flipped(1)) },
  { title: 'an empty bundle', entry: 0, damage: (at) => writeFile(at('tile/entries/000'), '') },
  { title: 'a bundle that was cut', entry: 31, damage: (at) => truncate(at('tile/entries/000'), 999) },
  { title: 'a changed hash', damage: changed('tile/0/001', flipped(32 * 9)) },
  { title: 'a changed last hash', damage: changed('tile/0/002.p/188', flipped(32 * 187)) },
  {
    title: 'two bundles in the place of each other, with their tiles',
    entry: 0,
    async damage(at) {
      for (const kind of ['0', 'entries'])
        for (const [here, there] of [
          ['000', '001'],
          ['001', '000'],
        ])
          await writeFile(at(`tile/${kind}/${here}`), bytesOf(`tile/${kind}/${there}`))
    },
  },
]

test('whatever is damaged in a log, Go judges it as we do', { skip: missingBackend('Go', missingGo()) }, async (t) => {
  const scratch = await mkdtemp(path.join(tmpdir(), 'writ-verdicts-'))
  t.after(() => rm(scratch, { recursive: true, force: true }))
  const independent = await buildVerifier(scratch)
  const sound = path.join(scratch, 'sound')
  for (const [name, bytes] of log) {
    await mkdir(path.dirname(path.join(sound, name)), { recursive: true })
    await writeFile(path.join(sound, name), bytes)
  }
  for (const { title, good = false, entry, damage } of cases)
    await t.test(title, async () => {
      const folder = path.join(scratch, 'damaged')
      await rm(folder, { recursive: true, force: true })
      await cp(sound, folder, { recursive: true })
      await damage((name) => path.join(folder, name))
      const ours = await verifyLog({
        read: (name) =>
          readFile(path.join(folder, name)).then(
            (bytes) => new Uint8Array(bytes),
            () => null,
          ),
        vkeys: [key.vkey],
        origin,
        hash: sha256,
        verify: (raw, message, signature) =>
          verify(null, message, { key: Buffer.from(spkiOf(raw)), format: 'der', type: 'spki' }, signature),
      })
      const theirs = await independent.verify(folder, key.vkey)
      assert.deepEqual([ours.ok, theirs.ok], [good, good], `${JSON.stringify(ours)}; ${theirs.said}`)
      if (entry === undefined) return
      assert.equal(ours.ok ? undefined : ours.index, entry)
      assert.match(theirs.said, new RegExp(`^FAILED: entry ${entry}: `))
    })
})
