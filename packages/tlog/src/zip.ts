/** An archive, wherever it is. */
export type ZipBytes = { readonly size: number; read(from: number, length: number): Promise<Uint8Array> }

const END = 0x06054b50
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50
const LISTED = 0x02014b50
const LOCAL = 0x04034b50
const END_BYTES = 22
const LOCATOR64_BYTES = 20
const END64_BYTES = 56
const LISTED_BYTES = 46
const LOCAL_BYTES = 30
const MOST_LISTED = 64 * 1024 * 1024
/** Sizes of a data descriptor: with and without signature, of 32 and 64 bits. */
const DESCRIPTORS = [12, 16, 20, 24]
/** Info-ZIP's second spelling of a name, which some programs take instead of the first. */
const UNICODE_NAME = 0x7075

type Listed = { name: string; flags: number; method: number; packed: number; at: number }

/**
 * Refuses an archive that programs could unpack to different files: what one verified would not be what another shows to people. Each
 * byte belongs to one entry, to the directory or to its end; no name is there twice, none has another spelling. Throws an Error with a
 * sentence. What is in the files is not looked at.
 */
export async function checkZip(zip: ZipBytes): Promise<void> {
  const { from, to, count } = await findDirectory(zip)
  const entries = listEntries(await zip.read(from, to - from), count)
  const names = new Set<string>()
  let at = 0
  for (const [i, entry] of entries.sort((a, b) => a.at - b.at).entries()) {
    const { name } = entry
    if (names.has(name)) throw new Error(`the archive has ${name} twice`)
    names.add(name)
    if (entry.at !== at) throw new Error(`the archive has something before ${name} that its directory does not name`)
    const end = await endOf(zip, entry, from)
    at = entries[i + 1]?.at ?? from
    const isDescribed = (entry.flags & 8) !== 0
    if (isDescribed ? !DESCRIPTORS.includes(at - end) : at !== end)
      throw new Error(`the archive has something behind ${name} that its directory does not name`)
  }
  if (at !== from && entries.length > 0) throw new Error('the archive has something before its directory')
  if (entries.length === 0 && from !== 0) throw new Error('the archive has something before its directory')
}

async function findDirectory(zip: ZipBytes): Promise<{ from: number; to: number; count: number }> {
  if (zip.size < END_BYTES) throw new Error('this is no zip archive')
  const last = viewOf(await zip.read(zip.size - END_BYTES, END_BYTES))
  if (last.getUint32(0, true) !== END || last.getUint16(20, true) !== 0)
    throw new Error('this is no zip archive, or something stands behind its directory')
  let [count, size, from] = [last.getUint16(10, true), last.getUint32(12, true), last.getUint32(16, true)]
  let to = zip.size - END_BYTES
  if (count === 0xffff || size === 0xffffffff || from === 0xffffffff) {
    to -= LOCATOR64_BYTES + END64_BYTES
    if (to < 0) throw new Error('the directory of the archive is damaged')
    const long = viewOf(await zip.read(to, END64_BYTES + LOCATOR64_BYTES))
    if (long.getUint32(0, true) !== END64 || long.getUint32(END64_BYTES, true) !== LOCATOR64)
      throw new Error('the directory of the archive is damaged')
    if (uint64(long, END64_BYTES + 8) !== to) throw new Error('the archive has two directories')
    ;[count, size, from] = [uint64(long, 32), uint64(long, 40), uint64(long, 48)]
  }
  if (from + size !== to) throw new Error('the archive has something around its directory')
  if (size > MOST_LISTED) throw new Error('the directory of the archive is larger than that of any bundle')
  return { from, to, count }
}

function listEntries(bytes: Uint8Array, count: number): Listed[] {
  const damaged = () => new Error('the directory of the archive is damaged')
  const view = viewOf(bytes)
  const entries: Listed[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + LISTED_BYTES > bytes.length || view.getUint32(at, true) !== LISTED) throw damaged()
    const named = view.getUint16(at + 28, true)
    const extra = view.getUint16(at + 30, true)
    const next = at + LISTED_BYTES + named + extra + view.getUint16(at + 32, true)
    if (next > bytes.length) throw damaged()
    const name = nameOf(bytes.subarray(at + LISTED_BYTES, at + LISTED_BYTES + named))
    const of64 = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)]
    const fields = viewOf(bytes.subarray(at + LISTED_BYTES + named, at + LISTED_BYTES + named + extra))
    for (let field = 0; field + 4 <= fields.byteLength; field += 4 + fields.getUint16(field + 2, true)) {
      const id = fields.getUint16(field, true)
      if (id === UNICODE_NAME) throw new Error(`${name} of the archive has a second name`)
      if (id !== 1) continue
      let value = field + 4
      for (const [i, short] of of64.entries())
        if (short === 0xffffffff && value + 8 <= fields.byteLength) {
          of64[i] = uint64(fields, value)
          value += 8
        }
    }
    const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)]
    entries.push({ name, flags, method, packed: of64[1]!, at: of64[2]! })
    at = next
  }
  if (entries.length !== count) throw damaged()
  return entries
}

/** Where the bytes of an entry end. Its own header says what the directory says: some programs read only the one, some the other. */
async function endOf(zip: ZipBytes, entry: Listed, before: number): Promise<number> {
  const other = () => new Error(`the archive says two things of ${entry.name}`)
  if (entry.at + LOCAL_BYTES > before) throw other()
  const head = viewOf(await zip.read(entry.at, LOCAL_BYTES))
  const [named, extra] = [head.getUint16(26, true), head.getUint16(28, true)]
  const from = entry.at + LOCAL_BYTES + named + extra
  if (from + entry.packed > before || head.getUint32(0, true) !== LOCAL) throw other()
  const name = nameOf(await zip.read(entry.at + LOCAL_BYTES, named))
  const packed = head.getUint32(18, true)
  const isSame =
    name === entry.name &&
    head.getUint16(6, true) === entry.flags &&
    head.getUint16(8, true) === entry.method &&
    ((entry.flags & 8) !== 0 || packed === entry.packed || packed === 0xffffffff)
  if (!isSame) throw other()
  return from + entry.packed
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const uint64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true))
/** By its bytes: two names are the same only if those are. */
const nameOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
