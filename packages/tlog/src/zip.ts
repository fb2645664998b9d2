import type { BundleFiles } from './bundle.ts'
import { fromUtf8, toHex } from './bytes.ts'

/** An archive, wherever it is. */
export type ZipBytes = { readonly size: number; read(from: number, length: number): Promise<Uint8Array> }

const END = 0x06054b50
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50
const LISTED = 0x02014b50
const LOCAL = 0x04034b50
const DESCRIPTOR = 0x08074b50
const END_BYTES = 22
const LOCATOR64_BYTES = 20
const END64_BYTES = 56
const LISTED_BYTES = 46
const LOCAL_BYTES = 30
/** Of 32 bits: the value stands elsewhere. */
const MOST_32 = 0xffffffff
const MOST_LISTED = 64 * 1024 * 1024
/** Sizes of a data descriptor: with and without signature, of 32 and 64 bits. */
const DESCRIPTORS = [12, 16, 20, 24]
const STORED = 0
const DEFLATED = 8
/** Bits of an entry's flags. */
const ENCRYPTED = 1
const DESCRIBED = 8
const IN_UTF8 = 0x800
/** Info-ZIP's second spelling of a name, which some programs take instead of the first. */
const UNICODE_NAME = 0x7075

/** Of a file that is read at once; files of evidence, which may be of any size, are only hashed. */
const MOST_READ = 64 * 1024 * 1024
/** What was inflated to be hashed and is read right afterwards is kept: a file of up to so many bytes, and all of them. */
const KEPT_FILE = 64 * 1024
const KEPT_ALL = 32 * 1024 * 1024
const MOST_AT_ONCE = 256 * 1024
const WINDOW = 256 * 1024
/** By name 1 is followed by 10, 100 and 1000: that many places of an archive are read from in turns. */
const WINDOWS = 12

/** What is wrong with an archive, in a sentence. */
export class ZipError extends Error {}

/** Unpacks what was deflated (RFC 1951). Throws where it is damaged, ends too early, or is followed by anything. */
export type Inflate = (
  chunks: AsyncIterable<Uint8Array>,
  bytes: { packed: number; size: number },
) => AsyncIterable<Uint8Array>

/** A SHA-256 of what does not fit into memory. */
export type CreateSha256 = () => { update(bytes: Uint8Array): unknown; digest(): Uint8Array }

type Listed = {
  name: string
  flags: number
  method: number
  packed: number
  size: number
  crc: number
  attributes: number
  at: number
}
/** Where in the archive the bytes of an entry begin. */
type Found = Listed & { from: number }

/**
 * The files of an archive, read as they are asked for. Refuses an archive that programs could unpack to different files: what one
 * verified would not be what another shows to people. Each byte belongs to one entry, to the directory or to its end; no name is there
 * twice, none has another spelling or leaves the folder; nothing is a link or encrypted. Reading a file throws where it does not unpack
 * to exactly what the archive says of it. Throws a ZipError with a sentence.
 */
export async function openZip(
  bytes: ZipBytes,
  on: { inflate: Inflate; createSha256: CreateSha256 },
): Promise<BundleFiles> {
  const zip = inWindows(bytes)
  const entries = new Map((await findEntries(zip)).map((entry) => [entry.name, entry]))
  const kept = new Map<string, Uint8Array>()
  let keptBytes = 0
  const entryOf = (name: string): Found => {
    const found = entries.get(name)
    if (!found) throw new ZipError(`the archive has no ${name}`)
    return found
  }
  return {
    names: [...entries.keys()].filter((name) => !name.endsWith('/')),
    async read(name) {
      const at = kept.get(name)
      if (at) return at
      const entry = entryOf(name)
      if (entry.size > MOST_READ)
        throw new ZipError(`${name} of the archive is larger than ${MOST_READ / 1024 / 1024} MiB; only evidence is`)
      return whole(zip, entry, on.inflate)
    },
    async sha256(name) {
      const entry = entryOf(name)
      const digest = on.createSha256()
      const isKept =
        entry.method === DEFLATED && entry.size <= KEPT_FILE && keptBytes + entry.size <= KEPT_ALL && !kept.has(name)
      if (isKept) {
        const bytes = await whole(zip, entry, on.inflate)
        kept.set(name, bytes)
        keptBytes += entry.size
        digest.update(bytes)
      } else if (entry.size <= KEPT_FILE) digest.update(await whole(zip, entry, on.inflate))
      else for await (const chunk of unpack(zip, entry, on.inflate)) digest.update(chunk)
      return toHex(digest.digest())
    },
  }
}

/**
 * Reads in larger parts: a bundle has tens of thousands of small files, and asking for each takes longer than unpacking it. The parts
 * that were read from last are kept, so that files which are asked for by name are not read anew for each jump.
 */
function inWindows(zip: ZipBytes): ZipBytes {
  let windows: { begin: number; held: Uint8Array }[] = []
  return {
    size: zip.size,
    async read(from, length) {
      const isIn = ({ begin, held }: (typeof windows)[number]) => from >= begin && from + length <= begin + held.length
      let window = windows.find(isIn)
      if (!window) {
        const held = await zip.read(from, Math.min(Math.max(length, WINDOW), zip.size - from))
        if (held.length < length) throw new ZipError('the archive ends too early')
        window = { begin: from, held }
      }
      if (window !== windows[0]) windows = [window, ...windows.filter((one) => one !== window).slice(0, WINDOWS - 1)]
      const at = from - window.begin
      return window.held.subarray(at, at + length)
    },
  }
}

async function whole(zip: ZipBytes, entry: Found, inflate: Inflate): Promise<Uint8Array> {
  const bytes = new Uint8Array(entry.size)
  // Most files of a bundle are of this kind, and a stream for each costs more than what is read from it.
  if (entry.method === STORED && entry.size <= MOST_AT_ONCE) {
    bytes.set(await zip.read(entry.from, entry.packed))
    if (~crcOf(~0, bytes) >>> 0 !== entry.crc) throw damagedAt(entry)
    return bytes
  }
  let at = 0
  for await (const chunk of unpack(zip, entry, inflate)) {
    // No more comes than the archive says: `unpack` ends before.
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

const damagedAt = ({ name }: Listed, cause?: unknown) =>
  new ZipError(`the archive is damaged at ${name}: it does not unpack to what the archive says`, { cause })

/** The bytes of a file, of the size and with the checksum that the archive says. */
async function* unpack(zip: ZipBytes, entry: Found, inflate: Inflate): AsyncGenerator<Uint8Array> {
  const packed = packedBytes(zip, entry)
  let size = 0
  let crc = ~0
  const chunks = entry.method === DEFLATED ? inflate(packed, entry) : packed
  const from = chunks[Symbol.asyncIterator]()
  for (;;) {
    const next = await from.next().catch((cause: unknown) => {
      throw damagedAt(entry, cause)
    })
    if (next.done) break
    size += next.value.length
    if (size > entry.size) {
      await from.return?.()
      throw damagedAt(entry)
    }
    crc = crcOf(crc, next.value)
    yield next.value
  }
  if (size !== entry.size || ~crc >>> 0 !== entry.crc) throw damagedAt(entry)
}

async function* packedBytes(zip: ZipBytes, { from, packed }: Found): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < packed; at += MOST_AT_ONCE) yield await zip.read(from + at, Math.min(MOST_AT_ONCE, packed - at))
}

let crcTable: Uint32Array | undefined
function crcOf(crc: number, bytes: Uint8Array): number {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
    return value
  })
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return crc
}

async function findEntries(zip: ZipBytes): Promise<Found[]> {
  const { from, to, count } = await findDirectory(zip)
  const entries = listEntries(await zip.read(from, to - from), count).sort((a, b) => a.at - b.at)
  const found: Found[] = []
  const names = new Set<string>()
  let at = 0
  for (const [i, entry] of entries.entries()) {
    const { name } = entry
    if (names.has(name)) throw new ZipError(`the archive has ${name} twice`)
    names.add(name)
    refuseUnfit(entry)
    if (entry.at !== at) throw new ZipError(`the archive has something before ${name} that its directory does not name`)
    const begin = await beginOf(zip, entry, from)
    const end = begin + entry.packed
    at = entries[i + 1]?.at ?? from
    const isDescribed = (entry.flags & DESCRIBED) !== 0
    if (isDescribed ? !DESCRIPTORS.includes(at - end) : at !== end)
      throw new ZipError(`the archive has something behind ${name} that its directory does not name`)
    if (isDescribed) refuseOtherDescriptor(entry, viewOf(await zip.read(end, at - end)))
    found.push({ ...entry, from: begin })
  }
  if (at !== from) throw new ZipError('the archive has something before its directory')
  return found
}

/** What no bundle has, and programs do different things with. */
function refuseUnfit({ name, flags, method, size, packed, attributes }: Listed): void {
  // Names are what the manifest compares with; one that leaves the folder writes somewhere else when it is unpacked.
  if (name === '' || /^[/\\]|\\|^[A-Za-z]:|\0/.test(name) || name.split('/').includes('..'))
    throw new ZipError(`the archive has a name that leaves its folder: ${name}`)
  // The upper half is the Unix mode.
  if (((attributes >>> 16) & 0o170000) === 0o120000) throw new ZipError(`${name} of the archive is a link`)
  if ((flags & ENCRYPTED) !== 0) throw new ZipError(`${name} of the archive is encrypted`)
  if (method !== STORED && method !== DEFLATED) throw new ZipError(`${name} of the archive is packed in an unknown way`)
  if ((name.endsWith('/') && size > 0) || (method === STORED && size !== packed))
    throw new ZipError(`the archive says two things of ${name}`)
}

async function findDirectory(zip: ZipBytes): Promise<{ from: number; to: number; count: number }> {
  if (zip.size < END_BYTES) throw new ZipError('this is no zip archive')
  const last = viewOf(await zip.read(zip.size - END_BYTES, END_BYTES))
  if (last.getUint32(0, true) !== END || last.getUint16(20, true) !== 0)
    throw new ZipError('this is no zip archive, or something stands behind its directory')
  let [count, size, from] = [last.getUint16(10, true), last.getUint32(12, true), last.getUint32(16, true)]
  let to = zip.size - END_BYTES
  if (count === 0xffff || size === 0xffffffff || from === 0xffffffff) {
    to -= LOCATOR64_BYTES + END64_BYTES
    if (to < 0) throw new ZipError('the directory of the archive is damaged')
    const long = viewOf(await zip.read(to, END64_BYTES + LOCATOR64_BYTES))
    if (long.getUint32(0, true) !== END64 || long.getUint32(END64_BYTES, true) !== LOCATOR64)
      throw new ZipError('the directory of the archive is damaged')
    if (uint64(long, END64_BYTES + 8) !== to) throw new ZipError('the archive has two directories')
    ;[count, size, from] = [uint64(long, 32), uint64(long, 40), uint64(long, 48)]
  }
  if (from + size !== to) throw new ZipError('the archive has something around its directory')
  if (size > MOST_LISTED) throw new ZipError('the directory of the archive is larger than that of any bundle')
  return { from, to, count }
}

function listEntries(bytes: Uint8Array, count: number): Listed[] {
  const damaged = () => new ZipError('the directory of the archive is damaged')
  const view = viewOf(bytes)
  const entries: Listed[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + LISTED_BYTES > bytes.length || view.getUint32(at, true) !== LISTED) throw damaged()
    const named = view.getUint16(at + 28, true)
    const extra = view.getUint16(at + 30, true)
    const next = at + LISTED_BYTES + named + extra + view.getUint16(at + 32, true)
    if (next > bytes.length) throw damaged()
    const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)]
    const name = nameOf(bytes.subarray(at + LISTED_BYTES, at + LISTED_BYTES + named), flags)
    const of64 = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)]
    takeLong(bytes.subarray(at + LISTED_BYTES + named, at + LISTED_BYTES + named + extra), of64, name)
    const [crc, attributes] = [view.getUint32(at + 16, true), view.getUint32(at + 38, true)]
    entries.push({ name, flags, method, crc, attributes, size: of64[0]!, packed: of64[1]!, at: of64[2]! })
    at = next
  }
  if (entries.length !== count) throw damaged()
  return entries
}

/** Puts values of 64 bits, which stand behind a header, in the place of the short ones that say so. */
function takeLong(extra: Uint8Array, values: number[], name: string): void {
  const fields = viewOf(extra)
  for (let field = 0; field + 4 <= fields.byteLength; field += 4 + fields.getUint16(field + 2, true)) {
    const id = fields.getUint16(field, true)
    if (id === UNICODE_NAME) throw new ZipError(`${name} of the archive has a second name`)
    if (id !== 1) continue
    let value = field + 4
    for (const [i, short] of values.entries())
      if (short === MOST_32 && value + 8 <= fields.byteLength) {
        values[i] = uint64(fields, value)
        value += 8
      }
  }
}

/** Where the bytes of an entry begin. Its own header says what the directory says: some programs read only the one, some the other. */
async function beginOf(zip: ZipBytes, entry: Listed, before: number): Promise<number> {
  const other = () => new ZipError(`the archive says two things of ${entry.name}`)
  if (entry.at + LOCAL_BYTES > before) throw other()
  const head = viewOf(await zip.read(entry.at, LOCAL_BYTES))
  const [named, extra] = [head.getUint16(26, true), head.getUint16(28, true)]
  const from = entry.at + LOCAL_BYTES + named + extra
  if (from + entry.packed > before || head.getUint32(0, true) !== LOCAL) throw other()
  const name = nameOf(await zip.read(entry.at + LOCAL_BYTES, named), entry.flags)
  const isDescribed = (entry.flags & DESCRIBED) !== 0
  const sizes = [head.getUint32(22, true), head.getUint32(18, true)]
  if (extra > 0) takeLong(await zip.read(entry.at + LOCAL_BYTES + named, extra), sizes, entry.name)
  // Not known yet when the header was written: it stands behind the file, and is compared there.
  const is = (said: number, value: number) => said === value || (isDescribed && said === 0)
  const isSame =
    name === entry.name &&
    head.getUint16(6, true) === entry.flags &&
    head.getUint16(8, true) === entry.method &&
    is(head.getUint32(14, true), entry.crc) &&
    is(sizes[0]!, entry.size) &&
    is(sizes[1]!, entry.packed)
  if (!isSame) throw other()
  return from
}

/** What stands behind a file that was written before its size was known, says what the directory says. */
function refuseOtherDescriptor({ name, crc, packed, size }: Listed, said: DataView): void {
  const isSigned = said.byteLength % 8 === 0
  const at = isSigned ? 4 : 0
  const isLong = said.byteLength >= 20
  const sizeAt = (i: number) => (isLong ? uint64(said, at + 4 + 8 * i) : said.getUint32(at + 4 + 4 * i, true))
  const isSame =
    (!isSigned || said.getUint32(0, true) === DESCRIPTOR) &&
    said.getUint32(at, true) === crc &&
    sizeAt(0) === packed &&
    sizeAt(1) === size
  if (!isSame) throw new ZipError(`the archive says two things of ${name}`)
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const uint64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true))
/** By its bytes where it does not say that it is UTF-8: two names are the same only if those are. */
function nameOf(bytes: Uint8Array, flags: number): string {
  if ((flags & IN_UTF8) === 0) return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
  try {
    return fromUtf8(bytes)
  } catch {
    throw new ZipError('the directory of the archive is damaged')
  }
}
