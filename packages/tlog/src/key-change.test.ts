import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import {
  buildLog,
  leafHashes,
  makeEntries,
  makeKey,
  sha256,
  type TestKey,
  tileReader,
  treeHash,
  verifyEd25519,
} from '../test/memory-log.ts'
import {
  addSignatures,
  encodeEntry,
  followKeyChanges,
  formatCheckpoint,
  formatKeyChange,
  formatNote,
  proveInclusion,
  signText,
  verifyLog,
} from './index.ts'

const origin = 'example.org/log'
const hash = sha256
const verify = verifyEd25519
const [first, second, third] = [makeKey(origin), makeKey(origin), makeKey(origin)]

const keyEntry = (vkey: string, n: number) =>
  encodeEntry({
    v: 1,
    id: `019aab00-0000-7000-8000-00000000000${n}`,
    t: '2026-11-22T16:00:00.000Z',
    seq: 0,
    actor: { kind: 'system', id: '00000000-0000-0000-0000-000000000000' },
    act: 'log.key_rotated',
    res: vkey,
    pl: [],
  })

// 300 entries by the first key, the second named at 300, some more, the third named at 400, 500 entries in all.
const entries = makeEntries(500).with(300, keyEntry(second.vkey, 1)).with(400, keyEntry(third.vkey, 2))

async function signed(size: number, ...keys: TestKey[]): Promise<string> {
  const text = formatCheckpoint({ origin, size, root: treeHash(leafHashes(entries.slice(0, size))) })
  return formatNote(text, await Promise.all(keys.map((key) => signText(text, key, key.sign, hash))))
}

async function change(index: number, size: number, ...keys: TestKey[]): Promise<string> {
  const readTile = tileReader(await buildLog(entries.slice(0, size), first))
  const hashes = await proveInclusion({ index, size, readTile, hash })
  return formatKeyChange({ entry: entries[index]!, index, hashes, checkpoint: await signed(size, ...keys) })
}

let changes: string[]
let files: Map<string, Uint8Array>
before(async () => {
  changes = [await change(300, 310, first, second), await change(400, 410, second, third)]
  files = await buildLog(entries, first)
  files.set('checkpoint', Buffer.from(await signed(500, third)))
})

const check = (vkeys: string[], options: object = {}, some = files) =>
  verifyLog({
    read: async (path) => some.get(path) ?? null,
    vkeys,
    origin,
    hash,
    verify,
    keyChanges: changes,
    ...options,
  })

test('whoever trusts any key of the log reaches the one in use', async () => {
  for (const key of [first, second, third]) {
    const followed = await followKeyChanges({ vkeys: [key.vkey], files: changes, origin, hash, verify })
    assert.ok(followed.ok, key === third ? 'third' : '')
    assert.equal(followed.vkeys.at(-1), third.vkey)
    assert.equal((await check([key.vkey])).ok, true)
  }
})

test('without the changes, the log of a new key is not the log that was trusted', async () => {
  const verdict = await check([first.vkey], { keyChanges: [] })
  assert.equal(!verdict.ok && verdict.code, 'CHECKPOINT_SIGNATURE')
})

test('a checkpoint kept from before the change stays usable', async () => {
  assert.equal((await check([first.vkey], { kept: await signed(200, first) })).ok, true)
  const forged = await buildLog(entries.with(7, Buffer.from('forged')), first)
  const text = formatCheckpoint({
    origin,
    size: 500,
    root: treeHash(leafHashes(entries.with(7, Buffer.from('forged')))),
  })
  forged.set('checkpoint', Buffer.from(formatNote(text, [await signText(text, third, third.sign, hash)])))
  const verdict = await check([first.vkey], { kept: await signed(200, first) }, forged)
  assert.equal(!verdict.ok && verdict.code, 'LOG_REWRITTEN')
  // The change itself is a state that was seen, so even without a kept checkpoint the rewrite shows.
  const alone = await check([first.vkey], {}, forged)
  assert.equal(!alone.ok && alone.code, 'LOG_REWRITTEN')
})

test('after the change the old key alone signs nothing', async () => {
  const served = new Map(files).set('checkpoint', Buffer.from(await signed(500, second)))
  const verdict = await check([first.vkey], {}, served)
  assert.equal(!verdict.ok && verdict.code, 'CHECKPOINT_SIGNATURE')
  const both = new Map(files).set('checkpoint', Buffer.from(await signed(500, second, third)))
  assert.equal((await check([first.vkey], {}, both)).ok, true)
})

test('a change that the key before did not sign, or that names another, is refused', async () => {
  const thief = makeKey(origin)
  const cases: [string, string][] = [
    ['signed by the new key alone', await change(300, 310, second)],
    ['signed by a thief', addSignatures(await change(300, 310, thief), [])],
    ['of an entry that names no key', await change(299, 310, first)],
    [
      'with another entry',
      (await change(300, 310, first)).replace(
        /^extra .*$/m,
        `extra ${Buffer.from(keyEntry(thief.vkey, 3)).toString('base64')}`,
      ),
    ],
    ['not a proof', 'nonsense'],
  ]
  for (const [name, file] of cases) {
    const followed = await followKeyChanges({ vkeys: [first.vkey], files: [file], origin, hash, verify })
    assert.equal(followed.ok, false, name)
    const verdict = await check([first.vkey], { keyChanges: [file] })
    assert.equal(!verdict.ok && verdict.code, 'KEY_CHANGE_INVALID', name)
  }
})

test('where a step is wrong the keys up to it are answered, and each step was verified once', async () => {
  let verified = 0
  const counting: typeof verify = (...asked) => {
    verified++
    return verify(...asked)
  }
  const broken = [changes[0]!, await change(400, 410, makeKey(origin)), changes[1]!]
  for (const files of [broken, [changes[0]!, 'nonsense', changes[1]!]]) {
    const followed = await followKeyChanges({ vkeys: [first.vkey], files, origin, hash, verify: counting })
    assert.equal(followed.ok, false)
    assert.deepEqual(followed.vkeys, [first.vkey, second.vkey])
  }
  // Two files carry a signature of a key that was trusted; the thief's is not even tried.
  assert.equal(verified, 2)
})
