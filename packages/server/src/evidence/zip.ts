import { pipeline, Readable } from 'node:stream'
import { constants, crc32, createDeflateRaw, deflateRawSync } from 'node:zlib'

/** One file of an archive. Of a stream it is found out on the way how long it is. */
export interface ZipFile {
  readonly path: string
  readonly body: Uint8Array | AsyncIterable<Uint8Array>
  readonly executable?: true
}

/**
 * As they are: unpacking takes more for each file than for its bytes, and what is here of that size are signatures and hashes, which hardly
 * become smaller. A browser unpacks thousands of such files a second, where it has nothing to inflate.
 */
const MOST_STORED = 2 * 1024
/** Deflated in one go. More of it would hold up everybody else. */
const MOST_AT_ONCE = 64 * 1024
/** What the first piece of a larger file has to shrink to for the whole of it to be deflated. */
const SHRUNK = 0.97
/** How much is handed out at once: a file has a few hundred bytes, and each piece its price. */
const PIECE = 64 * 1024

const LOCAL = 0x04034b50
const DESCRIPTOR = 0x08074b50
const LISTED = 0x02014b50
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50
const END = 0x06054b50
const STORED = 0
const DEFLATED = 8
const DESCRIBED = 8
const IN_UTF8 = 0x800
const NEEDED = 20
const NEEDED_64 = 45
/** Unix, version 6.3 of the specification. */
const MADE_BY = (3 << 8) | 63
const TIMESTAMP = 0x5455
const MODIFIED_AND_READ = 3
const MOST_32 = 0xffffffff
const MOST_16 = 0xffff

interface Entry {
  readonly name: Buffer
  readonly flags: number
  readonly method: number
  readonly crc: number
  readonly packed: number
  readonly size: number
}

/**
 * The bytes of an archive of `files`, one file after the other, all with the time `at`. Work and memory for a file do not depend on how many
 * there are, but for its line in the directory; the same files give the same bytes. Sizes of what comes as a stream stand behind it.
 */
export async function* zipped(files: AsyncIterable<ZipFile>, at: Date): AsyncGenerator<Buffer> {
  const time = dosTime(at)
  const directory: Buffer[] = []
  let waiting: Buffer[] = []
  let held = 0
  let written = 0
  const put = (bytes: Buffer) => {
    waiting.push(bytes)
    held += bytes.length
    written += bytes.length
  }
  const take = () => {
    const piece = Buffer.concat(waiting)
    waiting = []
    held = 0
    return piece
  }
  for await (const { path, body, executable } of files) {
    const begin = written
    const name = Buffer.from(path)
    let entry: Entry
    if (body instanceof Uint8Array && body.length <= MOST_AT_ONCE) {
      const { method, packed } = pack(body)
      entry = { name, flags: IN_UTF8, method, crc: crc32(body), packed: packed.length, size: body.length }
      put(localHeader(entry, time))
      put(packed)
    } else {
      const { level, chunks } = await firstSeen(body instanceof Uint8Array ? [body] : body)
      const unknown = { name, flags: IN_UTF8 | DESCRIBED, method: DEFLATED, crc: 0, packed: 0, size: 0 }
      put(localHeader(unknown, time))
      const seen = { crc: 0, size: 0 }
      const from = written
      for await (const chunk of deflated(counting(chunks, seen), level)) {
        put(chunk)
        if (held >= PIECE) yield take()
      }
      entry = { ...unknown, ...seen, packed: written - from }
      put(descriptor(entry, begin))
    }
    directory.push(listed(entry, { begin, at, time, executable: executable === true }))
    if (held >= PIECE) yield take()
  }
  const from = written
  for (const line of directory) {
    put(line)
    if (held >= PIECE) yield take()
  }
  put(end({ from, size: written - from, count: directory.length }))
  yield take()
}

/** Deflated where it becomes smaller by that. */
function pack(body: Uint8Array): { method: number; packed: Buffer } {
  const packed = body.length > MOST_STORED ? deflateRawSync(body) : undefined
  if (packed && packed.length < body.length) return { method: DEFLATED, packed }
  return { method: STORED, packed: Buffer.from(body.buffer, body.byteOffset, body.length) }
}

/**
 * What is compressed already does not shrink, and trying takes most of the time of an export: it is deflated in blocks that are stored.
 * Not stored as a file: the size of one that streams is not known before it, so that only what is deflated has an end for those who read an
 * archive from its beginning. The first piece says which it is: a file that goes on otherwise is packed less well, not wrongly.
 */
async function firstSeen(
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<{ level: number; chunks: AsyncIterable<Buffer> }> {
  const source = buffersOf(body)
  const first = await source.next()
  const piece = first.done ? undefined : first.value.subarray(0, MOST_AT_ONCE)
  const shrinks = piece === undefined || deflateRawSync(piece).length < SHRUNK * piece.length
  async function* chunks() {
    // Whoever leaves before the end ends the source, also while it waits here.
    try {
      if (!first.done) yield first.value
      yield* source
    } finally {
      await source.return(undefined)
    }
  }
  return { level: shrinks ? constants.Z_DEFAULT_COMPRESSION : constants.Z_NO_COMPRESSION, chunks: chunks() }
}

async function* buffersOf(
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer, undefined, undefined> {
  for await (const chunk of body) if (chunk.length > 0) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
}

async function* counting(chunks: AsyncIterable<Buffer>, seen: { crc: number; size: number }): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    seen.crc = crc32(chunk, seen.crc)
    seen.size += chunk.length
    yield chunk
  }
}

async function* deflated(chunks: AsyncIterable<Buffer>, level: number): AsyncGenerator<Buffer> {
  const deflater = createDeflateRaw({ level })
  // What fails ends the stream that is read here, with its error; whoever stops reading it ends the source.
  pipeline(Readable.from(chunks, { objectMode: false }), deflater, () => {})
  yield* deflater
}

function localHeader({ name, flags, method, crc, packed, size }: Entry, time: DosTime): Buffer {
  const head = Buffer.alloc(30 + name.length)
  head.writeUInt32LE(LOCAL, 0)
  head.writeUInt16LE(NEEDED, 4)
  writeCommon(head, 6, { flags, method, crc, packed, size }, time)
  head.writeUInt16LE(name.length, 26)
  name.copy(head, 30)
  return head
}

function descriptor(entry: Entry, begin: number): Buffer {
  const { crc, packed, size } = entry
  const long = isLong(entry, begin)
  const bytes = Buffer.alloc(long ? 24 : 16)
  bytes.writeUInt32LE(DESCRIPTOR, 0)
  bytes.writeUInt32LE(crc, 4)
  if (long) {
    bytes.writeBigUInt64LE(BigInt(packed), 8)
    bytes.writeBigUInt64LE(BigInt(size), 16)
  } else {
    bytes.writeUInt32LE(packed, 8)
    bytes.writeUInt32LE(size, 12)
  }
  return bytes
}

/** The line of a file in the directory: with its permissions, and with its time as it is everywhere. */
function listed(entry: Entry, on: { begin: number; at: Date; time: DosTime; executable: boolean }): Buffer {
  const { name, flags, method, crc, packed, size } = entry
  const long = isLong(entry, on.begin)
  const extra = Buffer.alloc(long ? 37 : 9)
  extra.writeUInt16LE(TIMESTAMP, 0)
  extra.writeUInt16LE(5, 2)
  extra.writeUInt8(MODIFIED_AND_READ, 4)
  extra.writeUInt32LE(Math.min(Math.max(Math.floor(on.at.getTime() / 1_000), 0), 0x7fffffff), 5)
  if (long) {
    extra.writeUInt16LE(1, 9)
    extra.writeUInt16LE(24, 11)
    for (const [i, value] of [size, packed, on.begin].entries()) extra.writeBigUInt64LE(BigInt(value), 13 + 8 * i)
  }
  const head = Buffer.alloc(46)
  head.writeUInt32LE(LISTED, 0)
  head.writeUInt16LE(MADE_BY, 4)
  head.writeUInt16LE(long ? NEEDED_64 : NEEDED, 6)
  const sizes = long ? { packed: MOST_32, size: MOST_32 } : { packed, size }
  writeCommon(head, 8, { flags, method, crc, ...sizes }, on.time)
  head.writeUInt16LE(name.length, 28)
  head.writeUInt16LE(extra.length, 30)
  head.writeUInt32LE(((on.executable ? 0o100755 : 0o100644) << 16) >>> 0, 38)
  head.writeUInt32LE(long ? MOST_32 : on.begin, 42)
  return Buffer.concat([head, name, extra])
}

function writeCommon(
  to: Buffer,
  from: number,
  { flags, method, crc, packed, size }: Omit<Entry, 'name'>,
  time: DosTime,
): void {
  for (const [i, value] of [flags, method, time.time, time.date].entries()) to.writeUInt16LE(value, from + 2 * i)
  for (const [i, value] of [crc, packed, size].entries()) to.writeUInt32LE(value, from + 8 + 4 * i)
}

const isLong = ({ packed, size }: Entry, begin: number): boolean => Math.max(packed, size, begin) >= MOST_32

function end({ from, size, count }: { from: number; size: number; count: number }): Buffer {
  const last = Buffer.alloc(22)
  last.writeUInt32LE(END, 0)
  for (const place of [8, 10]) last.writeUInt16LE(Math.min(count, MOST_16), place)
  last.writeUInt32LE(Math.min(size, MOST_32), 12)
  last.writeUInt32LE(Math.min(from, MOST_32), 16)
  if (count < MOST_16 && size < MOST_32 && from < MOST_32) return last
  const long = Buffer.alloc(76)
  long.writeUInt32LE(END64, 0)
  long.writeBigUInt64LE(44n, 4)
  long.writeUInt16LE(MADE_BY, 12)
  long.writeUInt16LE(NEEDED_64, 14)
  for (const [i, value] of [count, count, size, from].entries()) long.writeBigUInt64LE(BigInt(value), 24 + 8 * i)
  long.writeUInt32LE(LOCATOR64, 56)
  long.writeBigUInt64LE(BigInt(from + size), 64)
  long.writeUInt32LE(1, 72)
  return Buffer.concat([long, last])
}

type DosTime = { readonly date: number; readonly time: number }

/** As the format knows it: in local time, from 1980 on, every second one. */
function dosTime(at: Date): DosTime {
  const year = at.getFullYear()
  if (year < 1980) return { date: (1 << 5) | 1, time: 0 }
  return {
    date: (Math.min(year - 1980, 127) << 9) | ((at.getMonth() + 1) << 5) | at.getDate(),
    time: (at.getHours() << 11) | (at.getMinutes() << 5) | (at.getSeconds() >> 1),
  }
}
