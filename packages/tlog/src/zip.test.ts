import assert from 'node:assert/strict'
import { test } from 'node:test'
import { zipSync } from 'fflate'
import { createSha256, inflate } from '../../cli/src/bundle-zip.ts'
import { openZip } from './zip.ts'

const text = (value: string) => new TextEncoder().encode(value)
const plain = () => Buffer.from(zipSync({ 'a.txt': text('one'), 'b/c.txt': text('two'.repeat(100)) }))
const check = (bytes: Uint8Array) =>
  openZip(
    { size: bytes.length, read: async (from, length) => bytes.subarray(from, from + length) },
    { inflate, createSha256 },
  )
const moved = (zip: Buffer, by: number) => {
  // Every offset of the directory, so that all programs that read it find the entries.
  const end = zip.length - 22
  const from = zip.readUInt32LE(end + 16)
  for (let at = from; at < end; at += 46 + zip.readUInt16LE(at + 28) + zip.readUInt16LE(at + 30))
    zip.writeUInt32LE(zip.readUInt32LE(at + 42) + by, at + 42)
  zip.writeUInt32LE(from + by, end + 16)
  return zip
}

/** The files of an archive, all of them read. */
async function unpacked(bytes: Uint8Array): Promise<Record<string, string>> {
  const files = await check(bytes)
  const all: Record<string, string> = {}
  for (const name of files.names) {
    await files.sha256(name)
    all[name] = new TextDecoder().decode(await files.read(name))
  }
  return all
}

test('an archive that everybody unpacks to the same files is taken', async () => {
  assert.deepEqual(await unpacked(plain()), { 'a.txt': 'one', 'b/c.txt': 'two'.repeat(100) })
  assert.deepEqual(await unpacked(Buffer.from(zipSync({}))), {})
  const stored = Buffer.from(zipSync({ 'a/': new Uint8Array(), 'a/b': text('as it is') }, { level: 0 }))
  assert.deepEqual(await unpacked(stored), { 'a/b': 'as it is' })
  const large = 'x'.repeat(3_000_000)
  assert.deepEqual(await unpacked(Buffer.from(zipSync({ large: text(large) }))), { large })
})

test('files that are read by name, far apart in turns, are not read anew for each jump', async () => {
  const content = text('x'.repeat(2_000))
  // As a bundle has them: by number in the archive, read by name. 1999 is far behind 200.
  const names = Array.from({ length: 3_000 }, (_, i) => `${i}`)
  const bytes = zipSync(Object.fromEntries(names.map((name) => [`e${name}`, content])), { level: 0 })
  let read = 0
  const files = await openZip(
    {
      size: bytes.length,
      async read(from, length) {
        read += length
        return bytes.subarray(from, from + length)
      },
    },
    { inflate, createSha256 },
  )
  const afterOpening = read
  for (const name of files.names.toSorted()) {
    await files.sha256(name)
    assert.deepEqual(await files.read(name), content)
  }
  assert.ok(read - afterOpening < 4 * bytes.length, `${read - afterOpening} of ${bytes.length} bytes`)
})

/** An archive of one file whose stream is followed by `behind`, in sizes that fit. */
function withBehind(behind: Buffer, content = 'two'.repeat(100)): Buffer {
  const zip = Buffer.from(zipSync({ a: text(content) }))
  const from = zip.readUInt32LE(zip.length - 6)
  const longer = Buffer.concat([zip.subarray(0, from), behind, zip.subarray(from)])
  const at = from + behind.length
  longer.writeUInt32LE(zip.readUInt32LE(18) + behind.length, 18)
  longer.writeUInt32LE(zip.readUInt32LE(from + 20) + behind.length, at + 20)
  longer.writeUInt32LE(at, longer.length - 6)
  return longer
}
const changed = (offset: number, value: number) => {
  const zip = plain()
  const from = zip.readUInt32LE(zip.length - 6)
  zip.writeUInt32LE(value, from + offset)
  // The header before the file says the same.
  zip.writeUInt32LE(value, offset - 2)
  return zip
}

/** An archive of one file that was written before its size was known: that stands behind it, in `wide` fields or in short ones. */
function described(on: { wide?: boolean; signed?: boolean; change?: (descriptor: Buffer) => void } = {}): Buffer {
  const zip = Buffer.from(zipSync({ 'a.txt': text('two'.repeat(100)) }))
  const from = zip.readUInt32LE(zip.length - 6)
  const [crc, packed, size] = [16, 20, 24].map((offset) => zip.readUInt32LE(from + offset)) as [number, number, number]
  const fields = Buffer.alloc(on.wide ? 20 : 12)
  fields.writeUInt32LE(crc, 0)
  for (const [i, value] of [packed, size].entries()) fields.writeUInt32LE(value, on.wide ? 4 + 8 * i : 4 + 4 * i)
  const descriptor = Buffer.concat([on.signed === false ? '' : 'PK\x07\x08', fields].map((part) => Buffer.from(part)))
  on.change?.(descriptor)
  zip.fill(0, 14, 26)
  for (const at of [6, from + 8]) zip.writeUInt16LE(zip.readUInt16LE(at) | 8, at)
  zip.writeUInt32LE(from + descriptor.length, zip.length - 6)
  return Buffer.concat([zip.subarray(0, from), descriptor, zip.subarray(from)])
}

test('what stands behind a file that was written before its size was known is compared, in each of its forms', async () => {
  for (const wide of [false, true])
    for (const signed of [false, true]) {
      assert.deepEqual(await unpacked(described({ wide, signed })), { 'a.txt': 'two'.repeat(100) })
      const length = (wide ? 20 : 12) + (signed ? 4 : 0)
      for (let at = 0; at < length; at++)
        await assert.rejects(
          check(described({ wide, signed, change: (descriptor) => (descriptor[at]! ^= 1) })),
          /^Error: the archive says two things of a\.txt$/,
          `byte ${at} of ${length}`,
        )
    }
})

const unread: [string, () => Uint8Array][] = [
  ['bytes behind the end of what was deflated', () => withBehind(Buffer.from('x'))],
  ['another stream behind it', () => withBehind(Buffer.from([3, 0]))],
  ['bytes behind the end of a large file', () => withBehind(Buffer.from('x'), 'y'.repeat(3_000_000))],
  ['another checksum', () => changed(16, 1)],
  ['a size that is smaller than what comes out', () => changed(24, 2)],
  ['a size that is larger than what comes out', () => changed(24, 2_000_000)],
  [
    'a stream that is none',
    () => {
      const zip = Buffer.from(zipSync({ a: text('two'.repeat(100)) }))
      zip.fill(255, 31, 34)
      return zip
    },
  ],
]
for (const [title, make] of unread)
  test(`a file is not read that has ${title}`, () =>
    assert.rejects(
      unpacked(make()),
      /^Error: the archive is damaged at a(\.txt)?: it does not unpack to what the archive says$/,
    ))

const cases: [string, RegExp, () => Uint8Array][] = [
  ['another archive before it', /something before/, () => Buffer.concat([plain(), moved(plain(), plain().length)])],
  [
    'another archive before it, whose offsets were left',
    /around its directory/,
    () => Buffer.concat([plain(), plain()]),
  ],
  ['something behind it', /no zip archive, or/, () => Buffer.concat([plain(), text('x')])],
  [
    'a comment that is another archive',
    /no zip archive, or|around/,
    () => {
      const zip = plain()
      zip.writeUInt16LE(plain().length, zip.length - 2)
      return Buffer.concat([zip, plain()])
    },
  ],
  [
    'another name before the file than in the directory',
    /says two things of a\.txt/,
    () => {
      const zip = plain()
      zip.write('x', zip.indexOf('a.txt'))
      return zip
    },
  ],
  [
    'another checksum before the file than in the directory',
    /says two things of a\.txt/,
    () => {
      const zip = plain()
      zip.writeUInt32LE(1, 14)
      return zip
    },
  ],
  [
    'another size before the file than in the directory',
    /says two things of a\.txt/,
    () => {
      const zip = plain()
      zip.writeUInt32LE(2, 22)
      return zip
    },
  ],
  [
    'one name twice',
    /has a\.txt twice/,
    () =>
      Buffer.from(
        Buffer.from(zipSync({ 'a.txt': text('1'), 'b.txt': text('2') }))
          .toString('latin1')
          .replaceAll('b.txt', 'a.txt'),
        'latin1',
      ),
  ],
  [
    'fewer entries than its end says',
    /damaged/,
    () => {
      const zip = plain()
      zip.writeUInt16LE(3, zip.length - 12)
      return zip
    },
  ],
  [
    'a size that reaches into the next',
    /two things of|behind a\.txt/,
    () => {
      const zip = plain()
      const from = zip.readUInt32LE(zip.length - 6)
      zip.writeUInt32LE(zip.readUInt32LE(from + 20) + 5, from + 20)
      return zip
    },
  ],
  [
    'a second name',
    /has a second name/,
    () => {
      const extra = { 28789: text('\x01....other.txt') }
      return zipSync({ 'a.txt': [text('1'), { extra }] })
    },
  ],
  [
    'a second name before the file alone',
    /has a second name/,
    () => {
      const extra = { 28790: text('\x01....other.txt') }
      const zip = Buffer.from(zipSync({ 'a.txt': [text('1'), { extra }] }))
      zip.writeUInt16LE(28_789, 35)
      return zip
    },
  ],
  [
    'a long size before the file that is another',
    /says two things of a\.txt/,
    () => {
      const zip = Buffer.from(
        zipSync({ 'a.txt': [text('1'), { extra: { 1: Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]) } }] }),
      )
      zip.writeUInt32LE(0xffffffff, 22)
      return zip
    },
  ],
  ['a name that leaves its folder', /leaves its folder: \.\.\/a/, () => zipSync({ '../a': text('1') })],
  ['a name of the root', /leaves its folder: \/a/, () => zipSync({ '/a': text('1') })],
  ['a name with a backslash', /leaves its folder/, () => zipSync({ 'a\\b': text('1') })],
  ['a folder that has bytes', /two things of a\//, () => zipSync({ 'a/': text('1') })],
  [
    'a link',
    /a of the archive is a link/,
    () => zipSync({ a: [text('/etc/passwd'), { os: 3, attrs: 0o120777 << 16 }] }),
  ],
  [
    'an encrypted file',
    /a of the archive is encrypted/,
    () => {
      const zip = Buffer.from(zipSync({ a: text('1') }))
      zip.writeUInt16LE(1, 6)
      zip.writeUInt16LE(1, zip.readUInt32LE(zip.length - 6) + 8)
      return zip
    },
  ],
  ['nothing', /no zip archive/, () => new Uint8Array()],
  ['words', /no zip archive/, () => text('this is not an archive of any kind')],
]

for (const [title, said, make] of cases)
  test(`an archive is refused with ${title}`, () => assert.rejects(check(make()), said))
