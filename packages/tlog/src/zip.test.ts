import assert from 'node:assert/strict'
import { test } from 'node:test'
import { zipSync } from 'fflate'
import { checkZip } from './zip.ts'

const text = (value: string) => new TextEncoder().encode(value)
const plain = () => Buffer.from(zipSync({ 'a.txt': text('one'), 'b/c.txt': text('two'.repeat(100)) }))
const check = (bytes: Uint8Array) =>
  checkZip({ size: bytes.length, read: async (from, length) => bytes.subarray(from, from + length) })
const moved = (zip: Buffer, by: number) => {
  // Every offset of the directory, so that all programs that read it find the entries.
  const end = zip.length - 22
  const from = zip.readUInt32LE(end + 16)
  for (let at = from; at < end; at += 46 + zip.readUInt16LE(at + 28) + zip.readUInt16LE(at + 30))
    zip.writeUInt32LE(zip.readUInt32LE(at + 42) + by, at + 42)
  zip.writeUInt32LE(from + by, end + 16)
  return zip
}

test('an archive that everybody unpacks to the same files is taken', async () => {
  await check(plain())
  await check(Buffer.from(zipSync({})))
})

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
  ['nothing', /no zip archive/, () => new Uint8Array()],
  ['words', /no zip archive/, () => text('this is not an archive of any kind')],
]

for (const [title, said, make] of cases)
  test(`an archive is refused with ${title}`, () => assert.rejects(check(make()), said))
