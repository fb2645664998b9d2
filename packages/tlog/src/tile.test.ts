import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildLog, makeEntries, makeKey } from '../test/memory-log.ts'
import { changedTiles, decodeBundle, encodeBundle, parseTilePath, type Tile, tilePath, tileWidth } from './index.ts'

const paths: [Tile, string][] = [
  [{ level: 0, index: 1234067, width: 256 }, 'tile/0/x001/x234/067'],
  [{ level: 0, index: 273, width: 112 }, 'tile/0/273.p/112'],
  [{ level: 'entries', index: 1000, width: 1 }, 'tile/entries/x001/000.p/1'],
  [{ level: 63, index: 0, width: 256 }, 'tile/63/000'],
]

for (const [tile, path] of paths) {
  test(`${path} is written and read`, () => {
    assert.equal(tilePath(tile), path)
    assert.deepEqual(parseTilePath(path), tile)
  })
}

const strangers = [
  '',
  'checkpoint',
  'tile/0/000/',
  'tile/00/000',
  'tile/64/000',
  'tile/0/1',
  'tile/0/x000/001',
  'tile/0/001/001',
  'tile/0/000.p/0',
  'tile/0/000.p/256',
  'tile/0/000.p/01',
  'tile/data/000',
  'tile/0/../000',
  '../tile/0/000',
  'tile/0/000\n',
  'tile/0/x999/x999/x999/x999/x999/999',
]
for (const path of strangers) {
  test(`${JSON.stringify(path)} names no tile`, () => assert.equal(parseTilePath(path), null))
}

test('a tree of 70,000 has the tiles that the specification lists', () => {
  const tiles = changedTiles(0, 70_000)
  const of = (level: Tile['level']) => tiles.filter((tile) => tile.level === level).map((tile) => tile.width)
  assert.deepEqual(of(0), [...Array(273).fill(256), 112])
  assert.deepEqual(of('entries'), [...Array(273).fill(256), 112])
  assert.deepEqual(of(1), [256, 17])
  assert.deepEqual(of(2), [1])
})

test('a tree of 256 has one full tile and a first hash above it', () => {
  assert.deepEqual(changedTiles(0, 256).map(tilePath), ['tile/entries/000', 'tile/0/000', 'tile/1/000.p/1'])
})

test('growth by one entry changes the edge only', () => {
  assert.deepEqual(changedTiles(300, 301).map(tilePath), ['tile/entries/001.p/45', 'tile/0/001.p/45'])
  assert.deepEqual(changedTiles(300, 300), [])
  assert.throws(() => changedTiles(2, 1), /cannot grow/)
})

test('the tiles of a tree are the files of a log built by hand', async () => {
  const key = makeKey('example.org/log')
  for (const size of [0, 1, 255, 256, 257, 511, 513, 1000]) {
    const files = [...(await buildLog(makeEntries(size), key)).keys()].filter((path) => path !== 'checkpoint')
    assert.deepEqual(changedTiles(0, size).map(tilePath).sort(), files.sort(), `size ${size}`)
  }
})

test('whatever the steps of growth, the tree has all tiles of its size', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(70_000), { maxLength: 6 }), (sizes) => {
      const steps = [0, ...sizes].sort((a, b) => a - b)
      const have = new Set<string>()
      for (let i = 1; i < steps.length; i++)
        for (const t of changedTiles(steps[i - 1]!, steps[i]!)) have.add(tilePath(t))
      for (const tile of changedTiles(0, steps.at(-1)!)) assert.ok(have.has(tilePath(tile)), tilePath(tile))
    }),
    { numRuns: 30 },
  )
})

test('tile width follows from the size', () => {
  assert.equal(tileWidth(70_000, 0, 273), 112)
  assert.equal(tileWidth(70_000, 1, 0), 256)
  assert.equal(tileWidth(70_000, 1, 1), 17)
  assert.equal(tileWidth(70_000, 1, 2), 0)
})

test('a bundle gives back its entries', () => {
  const entries = [new Uint8Array(), Uint8Array.of(1, 2, 3), new Uint8Array(65_535).fill(9)]
  const bundle = encodeBundle(entries)
  assert.deepEqual([...bundle.subarray(0, 7)], [0, 0, 0, 3, 1, 2, 3])
  assert.deepEqual(decodeBundle(bundle, 3), entries)
})

test('a bundle that is cut, short or overfull is refused', () => {
  const bundle = encodeBundle(makeEntries(3))
  assert.throws(() => decodeBundle(bundle.subarray(0, -1), 3), /cut inside entry 2/)
  assert.throws(() => decodeBundle(bundle, 4), /holds 3 entries, not 4/)
  assert.throws(() => encodeBundle(makeEntries(257)), /at most 256/)
  assert.throws(() => encodeBundle([new Uint8Array(65_536)]), /does not fit/)
})
