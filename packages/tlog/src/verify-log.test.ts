import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { buildLog, leafHashes, makeEntries, makeKey, sha256, verifyEd25519 } from '../test/memory-log.ts'
import {
  addSignatures,
  cosignText,
  decodeBundle,
  encodeBundle,
  parseNote,
  type VerifyLogOptions,
  verifyLog,
} from './index.ts'

const hash = sha256
const verify = verifyEd25519
const log = makeKey('example.org/log')
const stranger = makeKey('example.org/log')
const witness = makeKey('witness')
const SIZE = 1100
const entries = makeEntries(SIZE)

type Files = Map<string, Uint8Array>
let intact: Files
let older: Files
let rewritten: Files
let large: Files

before(async () => {
  intact = await buildLog(entries, log)
  older = await buildLog(entries.slice(0, 700), log)
  rewritten = await buildLog(entries.with(77, Buffer.from('forged')), log)
  large = await buildLog(makeEntries(66_000), log)
})

const textOf = (files: Files) => Buffer.from(files.get('checkpoint')!).toString()

function check(files: Files, options: Partial<VerifyLogOptions> = {}) {
  const read = async (path: string) => files.get(path) ?? null
  return verifyLog({ read, vkeys: [log.vkey], hash, verify, ...options })
}

/** A copy of the files with some changed; null removes one. */
function tampered(files: Files, changes: Record<string, Uint8Array | string | null>): Files {
  const copy = new Map(files)
  for (const [path, bytes] of Object.entries(changes)) {
    if (bytes === null) copy.delete(path)
    else copy.set(path, Buffer.from(bytes))
  }
  return copy
}

/** A bundle with its entries replaced by what `edit` makes of them. */
function rebundled(path: string, width: number, edit: (entries: Uint8Array[]) => Uint8Array[]): Files {
  return tampered(intact, { [path]: encodeBundle(edit(decodeBundle(intact.get(path)!, width))) })
}

function flipped(files: Files, path: string, at: number): Files {
  const bytes = files.get(path)!
  return tampered(files, { [path]: Uint8Array.from(bytes).with(at, bytes[at]! ^ 1) })
}

const forged = Buffer.from('entry 88!')
const forgedLeaf = () => leafHashes([forged])[0]!

/** An entry changed together with its leaf hash, and with the hash in the tile above when asked. */
function editedWithLeaf(index: number): Files {
  const bundle = Math.floor(index / 256)
  const width = Math.min(256, SIZE - bundle * 256)
  const suffix = width === 256 ? '' : `.p/${width}`
  const files = rebundled(`tile/entries/00${bundle}${suffix}`, width, (all) => all.with(index % 256, forged))
  const leaves = Uint8Array.from(intact.get(`tile/0/00${bundle}${suffix}`)!)
  leaves.set(forgedLeaf(), (index % 256) * 32)
  return tampered(files, { [`tile/0/00${bundle}${suffix}`]: leaves })
}

test('an intact log verifies, whole and at every border size', async () => {
  const seen: string[] = []
  const progress: number[] = []
  const verdict = await check(intact, {
    onEntry: (index, entry) => void seen.push(`${index}=${Buffer.from(entry)}`),
    onProgress: ({ entries, size }) => void progress.push(entries, size),
  })
  assert.ok(verdict.ok)
  assert.equal(verdict.checkpoint.size, SIZE)
  assert.equal(seen.length, SIZE)
  assert.equal(seen[1099], '1099=entry 1099')
  assert.deepEqual(progress, [256, 1100, 512, 1100, 768, 1100, 1024, 1100, 1100, 1100])
  for (const size of [0, 1, 255, 256, 257, 512]) {
    assert.equal((await check(await buildLog(entries.slice(0, size), log))).ok, true, `size ${size}`)
  }
  assert.equal((await check(large)).ok, true)
})

test('a full bundle and tile may stand in for partial ones', async () => {
  const longer = await buildLog(makeEntries(1280), log)
  const files = tampered(longer, {
    checkpoint: intact.get('checkpoint')!,
    'tile/1/000.p/4': intact.get('tile/1/000.p/4')!,
  })
  assert.equal((await check(files)).ok, true)
})

type Fault = { code: string; index?: number; path?: string }
const tamperings: [string, () => Files | Promise<Files>, Fault][] = [
  [
    'one byte of an entry edited',
    () => flipped(intact, 'tile/entries/003', intact.get('tile/entries/003')!.length - 1),
    { code: 'LEAF_MISMATCH', index: 1023, path: 'tile/entries/003' },
  ],
  [
    'an entry dropped from the middle of a bundle',
    () => rebundled('tile/entries/002', 256, (all) => all.toSpliced(8, 1)),
    { code: 'LEAF_MISMATCH', index: 520, path: 'tile/entries/002' },
  ],
  [
    'the last entry of a bundle dropped',
    () => rebundled('tile/entries/002', 256, (all) => all.slice(0, -1)),
    { code: 'BUNDLE_MALFORMED', index: 767, path: 'tile/entries/002' },
  ],
  [
    'an entry inserted',
    () =>
      tampered(intact, {
        'tile/entries/001': Buffer.concat([Uint8Array.of(0, 1, 65), intact.get('tile/entries/001')!]),
      }),
    { code: 'LEAF_MISMATCH', index: 256, path: 'tile/entries/001' },
  ],
  [
    'an entry added behind a partial bundle',
    () => rebundled('tile/entries/004.p/76', 76, (all) => [...all, forged]),
    { code: 'BUNDLE_MALFORMED', index: 1100, path: 'tile/entries/004.p/76' },
  ],
  [
    'a partial bundle filled up to 256 entries',
    () => rebundled('tile/entries/004.p/76', 76, (all) => [...all, ...makeEntries(180)]),
    { code: 'BUNDLE_MALFORMED', index: 1100, path: 'tile/entries/004.p/76' },
  ],
  [
    'a bundle cut inside an entry',
    () => tampered(intact, { 'tile/entries/000': intact.get('tile/entries/000')!.slice(0, -1) }),
    { code: 'BUNDLE_MALFORMED', index: 255, path: 'tile/entries/000' },
  ],
  [
    'a bundle emptied',
    () => tampered(intact, { 'tile/entries/000': '' }),
    { code: 'BUNDLE_MALFORMED', index: 0, path: 'tile/entries/000' },
  ],
  [
    'an entry edited together with its leaf hash',
    () => editedWithLeaf(300),
    { code: 'TILE_MISMATCH', index: 256, path: 'tile/1/000.p/4' },
  ],
  [
    'an entry of the last bundle edited together with its leaf hash',
    () => editedWithLeaf(1050),
    { code: 'ROOT_MISMATCH', path: 'checkpoint' },
  ],
  [
    'an entry edited and every stored hash made to fit',
    () => tampered(rewritten, { checkpoint: intact.get('checkpoint')! }),
    { code: 'ROOT_MISMATCH', path: 'checkpoint' },
  ],
  [
    'two bundles swapped',
    () =>
      tampered(intact, {
        'tile/entries/001': intact.get('tile/entries/002')!,
        'tile/entries/002': intact.get('tile/entries/001')!,
      }),
    { code: 'LEAF_MISMATCH', index: 256, path: 'tile/entries/001' },
  ],
  [
    'two bundles and their leaf tiles swapped',
    () =>
      tampered(intact, {
        'tile/entries/001': intact.get('tile/entries/002')!,
        'tile/entries/002': intact.get('tile/entries/001')!,
        'tile/0/001': intact.get('tile/0/002')!,
        'tile/0/002': intact.get('tile/0/001')!,
      }),
    { code: 'TILE_MISMATCH', index: 256, path: 'tile/1/000.p/4' },
  ],
  [
    'a partial leaf tile removed',
    () => tampered(intact, { 'tile/0/004.p/76': null }),
    { code: 'FILE_MISSING', index: 1024, path: 'tile/0/004.p/76' },
  ],
  [
    'a partial tile of a higher level removed',
    () => tampered(intact, { 'tile/1/000.p/4': null }),
    { code: 'FILE_MISSING', index: 0, path: 'tile/1/000.p/4' },
  ],
  [
    'a bundle removed',
    () => tampered(intact, { 'tile/entries/002': null }),
    { code: 'FILE_MISSING', index: 512, path: 'tile/entries/002' },
  ],
  [
    'a stored leaf hash edited',
    () => flipped(intact, 'tile/0/001', 5 * 32),
    { code: 'LEAF_MISMATCH', index: 261, path: 'tile/entries/001' },
  ],
  [
    'a hash of a higher level edited',
    () => flipped(intact, 'tile/1/000.p/4', 3 * 32),
    { code: 'TILE_MISMATCH', index: 768, path: 'tile/1/000.p/4' },
  ],
  [
    'a hash of level 2 edited',
    () => flipped(large, 'tile/2/000.p/1', 0),
    { code: 'TILE_MISMATCH', index: 0, path: 'tile/2/000.p/1' },
  ],
  [
    'a hash tile cut',
    () => tampered(intact, { 'tile/0/001': intact.get('tile/0/001')!.slice(0, -32) }),
    { code: 'TILE_MALFORMED', path: 'tile/0/001' },
  ],
  [
    'a hash tile with more behind it',
    () => tampered(intact, { 'tile/1/000.p/4': Buffer.concat([intact.get('tile/1/000.p/4')!, new Uint8Array(32)]) }),
    { code: 'TILE_MALFORMED', path: 'tile/1/000.p/4' },
  ],
  [
    'the size in the checkpoint edited',
    () => tampered(intact, { checkpoint: textOf(intact).replace('\n1100\n', '\n1099\n') }),
    { code: 'CHECKPOINT_SIGNATURE', path: 'checkpoint' },
  ],
  [
    'the checkpoint signed by another key of the same name',
    async () => tampered(intact, { checkpoint: (await buildLog(entries, stranger)).get('checkpoint')! }),
    { code: 'CHECKPOINT_SIGNATURE', path: 'checkpoint' },
  ],
  [
    'the checkpoint of another origin',
    async () =>
      tampered(intact, { checkpoint: (await buildLog(entries, makeKey('example.org/x'))).get('checkpoint')! }),
    { code: 'CHECKPOINT_ORIGIN', path: 'checkpoint' },
  ],
  [
    'the checkpoint removed',
    () => tampered(intact, { checkpoint: null }),
    { code: 'CHECKPOINT_MISSING', path: 'checkpoint' },
  ],
  [
    'the checkpoint emptied',
    () => tampered(intact, { checkpoint: '' }),
    { code: 'CHECKPOINT_MALFORMED', path: 'checkpoint' },
  ],
]
for (const [name, files, fault] of tamperings) {
  test(`${name}: ${fault.code}`, async () => {
    const verdict = await check(await files())
    assert.ok(!verdict.ok)
    const { reason, ok: _, ...found } = verdict
    assert.deepEqual(found, fault, reason)
  })
}

const pasts: [string, () => Files, () => string, string][] = [
  ['an older checkpoint is served again', () => older, () => textOf(intact), 'LOG_TRUNCATED'],
  ['the whole log is rebuilt with its key', () => rewritten, () => textOf(older), 'LOG_REWRITTEN'],
  ['the whole log is rebuilt at the same size', () => rewritten, () => textOf(intact), 'LOG_REWRITTEN'],
]
for (const [name, files, kept, code] of pasts) {
  test(`when ${name}, only a kept checkpoint shows it`, async () => {
    assert.equal((await check(files())).ok, true)
    const verdict = await check(files(), { kept: kept() })
    assert.equal(verdict.ok ? 'ok' : verdict.code, code)
  })
}

test('a log that only grew is consistent with every checkpoint kept from it', async () => {
  for (const size of [0, 1, 256, 700, 1100]) {
    const kept = textOf(await buildLog(entries.slice(0, size), log))
    assert.equal((await check(intact, { kept })).ok, true, `size ${size}`)
  }
})

test('a kept checkpoint that is not of this log proves nothing and is refused', async () => {
  const code = async (kept: string, vkeys = [log.vkey]) => {
    const verdict = await check(intact, { kept, vkeys })
    return verdict.ok ? 'ok' : verdict.code
  }
  const other = makeKey('example.org/x')
  assert.equal(await code('nonsense'), 'KEPT_MALFORMED')
  assert.equal(await code(textOf(older).replace('\n700\n', '\n600\n')), 'KEPT_SIGNATURE')
  assert.equal(await code(textOf(await buildLog(entries, other)), [log.vkey, other.vkey]), 'KEPT_ORIGIN')
})

test('a bad cosignature by a known witness refuses the checkpoint, a good one is reported', async () => {
  const text = parseNote(textOf(intact)).text
  const good = await cosignText(text, witness, 1_700_000_000, witness.sign, hash)
  const vkeys = [log.vkey, witness.witnessVkey]
  const cosigned = tampered(intact, { checkpoint: addSignatures(textOf(intact), [good]) })
  const verdict = await check(cosigned, { vkeys })
  assert.deepEqual(verdict.ok && verdict.signers.map((signer) => signer.name), ['example.org/log', 'witness'])
  const bad = { ...good, signature: good.signature.with(7, good.signature[7]! ^ 1) }
  const spoiled = await check(tampered(intact, { checkpoint: addSignatures(textOf(intact), [bad]) }), { vkeys })
  assert.equal(spoiled.ok ? 'ok' : spoiled.code, 'CHECKPOINT_SIGNATURE')
})

test('any flipped bit in any file is found', async () => {
  const paths = [...intact.keys()]
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), fc.nat(), fc.nat(7), async (path, seed, bit) => {
      const bytes = intact.get(path)!
      const at = seed % bytes.length
      const files = tampered(intact, { [path]: Uint8Array.from(bytes).with(at, bytes[at]! ^ (1 << bit)) })
      assert.equal((await check(files)).ok, false, `${path}, byte ${at}, bit ${bit}`)
    }),
    { numRuns: 60 },
  )
})

test('a reader that fails ends in a verdict with the path', async () => {
  const verdict = await check(intact, {
    read: async (path) => {
      if (path === 'tile/entries/002') throw new Error('disk on fire')
      return intact.get(path) ?? null
    },
  })
  assert.deepEqual(verdict, { ok: false, code: 'READ_FAILED', path: 'tile/entries/002', reason: 'disk on fire' })
})

test('a read that never answers ends when the caller gives up', async () => {
  const stop = new AbortController()
  const verdict = await check(intact, {
    signal: stop.signal,
    read: (path) => {
      if (path === 'checkpoint') return Promise.resolve(intact.get(path)!)
      queueMicrotask(() => stop.abort())
      return new Promise(() => {})
    },
  })
  assert.equal(verdict.ok ? 'ok' : verdict.code, 'ABORTED')
})

test('an entry that the caller refuses is named', async () => {
  const verdict = await check(intact, { onEntry: (index) => (index === 600 ? 'not ours' : undefined) })
  assert.deepEqual(verdict, {
    ok: false,
    code: 'ENTRY_REFUSED',
    index: 600,
    path: 'tile/entries/002',
    reason: 'entry 600: not ours',
  })
})
