// The same damaged bundle to everything that verifies bundles: our library in Node, the same in a browser, verify.sh.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { hash } from 'node:crypto'
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { type BundleFault, type BundleReport, verifyBundle } from '@writ/tlog'
import { openCommandLine } from '../../packages/cli/src/test-terminal.ts'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { openKeys } from '../../packages/server/src/audit/index.ts'
import { openTab, skip, startConsole } from '../console/scene.ts'
import { exportBundle, folderFiles, makeTicket, signFolder, unpack, verifySh } from './scene.ts'
import { makeSshKey } from './ssh-key.ts'

const run = promisify(execFile)

/** A bundle as one more folder, to be damaged. */
interface Copy {
  readonly folder: string
  /** The one name of a file that matches, or the first of several. */
  named(pattern: RegExp): string
  read(name: string): Promise<Buffer>
  write(name: string, bytes: string | Uint8Array): Promise<void>
  edit(name: string, from: string | RegExp, to: string): Promise<void>
  describe(change: (described: Described) => unknown): Promise<void>
  remove(...names: string[]): Promise<void>
}

/** What of bundle.json is changed here. */
interface Described {
  format: string
  version: number
  subject: { type: string; id: string; number: number }
  logs: { name: string; origin: string; vkeys: string[]; role: string; whole_to?: number }[]
  artifacts: {
    id: string
    number: number
    sha256: string
    size: number
    path: string | null
    left_out: string | null
  }[]
}

interface Case {
  readonly title: string
  readonly code: BundleFault
  /** What the script says; where the library names another file than it does, this shows that both mean the same. */
  readonly says: RegExp
  /** The manifest is left as it was: whoever changed this has no key. */
  readonly unsigned?: true
  damage(copy: Copy): Promise<unknown>
}

const ENTRY = /^logs\/project-0\/entries\/\d+\.json$/
const cases: Case[] = []
const add = (title: string, code: BundleFault, says: RegExp, damage: Case['damage'], unsigned?: true): void => {
  cases.push({ title, code, says, damage, ...(unsigned ? { unsigned } : {}) })
}
/** An entry of the project's log by what it tells of: its file. */
async function entryOf({ folder }: Copy, act: string, which = 0): Promise<string> {
  const names = (await readdir(path.join(folder, 'logs/project-0/entries'))).filter((name) => name.endsWith('.json'))
  names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
  const found: string[] = []
  for (const name of names) {
    const file = `logs/project-0/entries/${name}`
    if (JSON.parse(await readFile(path.join(folder, file), 'utf8')).act === act) found.push(file)
  }
  return found.at(which)!
}
const allOfEntry = (entry: string): string[] => [
  entry,
  entry.replace(/json$/, 'tlog-proof'),
  entry.replace('entries', 'payloads'),
  entry.replace('entries', 'payloads').replace(/json$/, 'salt'),
]
const flip = (bytes: Buffer, at: number): Buffer => {
  const flipped = Buffer.from(bytes)
  flipped[at]! ^= 1
  return flipped
}

// Files and manifest.
add(
  'a changed file',
  'FILE_CHANGED',
  /artifacts\/1-core_switch\.json: FAILED/,
  (c) => c.write(c.named(/^artifacts\/1-/), 'x'),
  true,
)
add('a file less', 'FILE_MISSING', /README\.txt/, (c) => c.remove('README.txt'), true)
add('a file more', 'FILE_UNLISTED', /files that the manifest does not name/, (c) => c.write('more.txt', 'x'), true)
add('no manifest', 'FILE_MISSING', /manifest or its keys are missing/, (c) => c.remove('SHA256SUMS'), true)
add('no signature', 'FILE_MISSING', /manifest or its keys are missing/, (c) => c.remove('SHA256SUMS.sig'), true)
add('no keys', 'FILE_MISSING', /manifest or its keys are missing/, (c) => c.remove('keys/allowed_signers'), true)
add(
  'a changed manifest',
  'MANIFEST_SIGNATURE',
  /SHA256SUMS: the signature/,
  async (c) => c.write('SHA256SUMS', flip(await c.read('SHA256SUMS'), 3)),
  true,
)
add(
  'a signature of another namespace',
  'MANIFEST_SIGNATURE',
  /SHA256SUMS: the signature/,
  (c) => c.edit('SHA256SUMS.sig', 'AAAA', 'AAAB'),
  true,
)
add(
  'a signature that is no text',
  'MANIFEST_SIGNATURE',
  /SHA256SUMS: the signature/,
  (c) => c.write('SHA256SUMS.sig', Buffer.of(255, 0, 254)),
  true,
)
add('signers of no known form', 'MANIFEST_MALFORMED', /SHA256SUMS: the signature/, (c) =>
  c.write('keys/allowed_signers', 'writ-manifest ssh-ed25519 zzzz\n'),
)
// The description.
add('a description that is no JSON', 'BUNDLE_MALFORMED', /bundle\.json/, (c) => c.write('bundle.json', '{'))
add('a description that is a list', 'BUNDLE_MALFORMED', /bundle\.json/, (c) => c.write('bundle.json', '[]'))
add('a description that is null', 'BUNDLE_MALFORMED', /bundle\.json/, (c) => c.write('bundle.json', 'null'))
add('a later version', 'BUNDLE_MALFORMED', /bundle\.json/, (c) => c.describe((d) => (d.version = 2)))
add('another format', 'BUNDLE_MALFORMED', /bundle\.json/, (c) => c.describe((d) => (d.format = 'x')))
add('no files in the description', 'BUNDLE_MALFORMED', /bundle\.json/, (c) =>
  c.describe((d) => Reflect.deleteProperty(d, 'artifacts')),
)
add('no logs in the description', 'BUNDLE_MALFORMED', /bundle\.json/, (c) =>
  c.describe((d) => Reflect.deleteProperty(d, 'logs')),
)
add('a number that is a text', 'BUNDLE_MALFORMED', /bundle\.json/, (c) =>
  c.describe((d) => (d.subject.number = '1' as never)),
)
add('another number of the ticket', 'BUNDLE_MALFORMED', /bundle\.json: .*another number/, (c) =>
  c.describe((d) => (d.subject.number = 7)),
)
add('another number of a file', 'BUNDLE_MALFORMED', /bundle\.json: .*another number/, (c) =>
  c.describe((d) => (d.artifacts[0]!.number = 9)),
)
add('a ticket that is called a run', 'BUNDLE_MALFORMED', /bundle\.json: its subject .* is a ticket/, (c) =>
  c.describe((d) => (d.subject.type = 'run')),
)
add('a subject of which nothing tells', 'BUNDLE_MALFORMED', /no entry tells of its subject/, (c) =>
  c.describe((d) => (d.subject.id = 'x')),
)
add('a file described twice', 'BUNDLE_MALFORMED', /bundle\.json/, (c) =>
  c.describe((d) => d.artifacts.push(d.artifacts[0]!)),
)
add('a log described twice', 'BUNDLE_MALFORMED', /bundle\.json/, (c) => c.describe((d) => d.logs.push(d.logs[0]!)))
add('a log that is not described', 'BUNDLE_MALFORMED', /project-0/, (c) =>
  c.describe((d) => (d.logs = d.logs.filter(({ role }) => role === 'instance'))),
)
add('a described log that is not there', 'FILE_MISSING', /project-7/, (c) =>
  c.describe((d) => d.logs.push({ ...d.logs[0]!, name: 'project-7' })),
)
add('a path out of the bundle', 'ARTIFACT_CHANGED', /\.\.\/\.\.\/etc\/passwd/, (c) =>
  c.describe((d) => (d.artifacts[0]!.path = '../../etc/passwd')),
)
add('a file left out for no known reason', 'BUNDLE_MALFORMED', /bundle\.json/, (c) =>
  c.describe((d) => Object.assign(d.artifacts[0]!, { path: null, left_out: 'lost' })),
)
add('another role of a log', 'BUNDLE_MALFORMED', /bundle\.json/, (c) =>
  c.describe((d) => (d.logs.find(({ role }) => role === 'project')!.role = 'instance')),
)
add('another origin of a log', 'CHECKPOINT_INVALID', /logs\/project-0|checkpoint/, (c) =>
  c.describe((d) => (d.logs.find(({ role }) => role === 'project')!.origin = 'x.example/y')),
)
// Logs.
add('a checkpoint of no form', 'CHECKPOINT_INVALID', /checkpoint/, (c) => c.write('logs/project-0/checkpoint', 'x'))
add('an empty checkpoint', 'CHECKPOINT_INVALID', /checkpoint/, (c) => c.write('logs/project-0/checkpoint', ''))
add('another size of the checkpoint', 'CHECKPOINT_INVALID', /checkpoint/, async (c) =>
  c.edit('logs/project-0/checkpoint', /\n(\d+)\n/, '\n1$1\n'),
)
add('no checkpoint', 'FILE_MISSING', /checkpoint/, (c) => c.remove('logs/project-0/checkpoint'))
add('no key of a log', 'FILE_MISSING', /log\.pem/, (c) => c.remove('logs/project-0/log.pem'))
add('another key of a log', 'LOG_KEY', /log\.pem|checkpoint/, async (c) =>
  c.write('logs/project-0/log.pem', await c.read('logs/instance-0/log.pem')),
)
add('a policy without the log', 'LOG_KEY', /policy/, (c) => c.write('policy', 'quorum none\n'))
add('no policy', 'FILE_MISSING', /policy/, (c) => c.remove('policy'))
add('an entry that is no JSON', 'ENTRY_MALFORMED', /entries\/\d+\.json/, (c) => c.write(c.named(ENTRY), '{'))
add('an entry with a space more', 'ENTRY_MALFORMED', /entries\/\d+/, async (c) =>
  c.write(c.named(ENTRY), Buffer.concat([await c.read(c.named(ENTRY)), Buffer.from(' ')])),
)
add('no proof of an entry', 'FILE_MISSING', /tlog-proof/, (c) => c.remove(c.named(/project-0.*tlog-proof$/)))
add('a proof of no form', 'PROOF_INVALID', /entries\/\d+/, (c) => c.write(c.named(/project-0.*tlog-proof$/), 'x'))
add('a proof with another index', 'PROOF_INVALID', /entries\/\d+/, (c) =>
  c.edit(c.named(/project-0.*tlog-proof$/), /index (\d+)/, 'index 1$1'),
)
add('a proof with a hash less', 'PROOF_INVALID', /entries\/\d+/, (c) =>
  c.edit(c.named(/project-0.*tlog-proof$/), /\n[A-Za-z0-9+/]{43}=\n\n/, '\n\n'),
)
add('a proof with a hash whose last letter has bits to spare', 'PROOF_INVALID', /entries\/\d+/, async (c) => {
  const proof = c.named(/project-0.*tlog-proof$/)
  const lines = (await c.read(proof)).toString().split('\n')
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  lines[2] = `${lines[2]!.slice(0, 42)}${letters[letters.indexOf(lines[2]![42]!) + 1]}=`
  await c.write(proof, lines.join('\n'))
})
add('two proofs in the place of each other', 'PROOF_INVALID', /entries\/\d+/, async (c) => {
  const [one, other] = (await readdir(path.join(c.folder, 'logs/project-0/entries'))).filter((n) =>
    n.endsWith('.tlog-proof'),
  )
  const at = (n: string) => path.join(c.folder, 'logs/project-0/entries', n)
  await rename(at(one!), at('swap'))
  await rename(at(other!), at(one!))
  await rename(at('swap'), at(other!))
})
add('an entry under another index', 'PROOF_INVALID', /entries\/\d+/, async (c) => {
  const entry = await entryOf(c, 'ticket.approved')
  for (const name of allOfEntry(entry))
    await rename(path.join(c.folder, name), path.join(c.folder, name.replace(/\d+(?=\.[a-z-]+$)/, '9999')))
})
add('a proof without its entry', 'BUNDLE_MALFORMED', /\d+\.tlog-proof/, async (c) =>
  c.remove((await entryOf(c, 'ticket.commented').catch(() => '')) || (await entryOf(c, 'evidence.exported'))),
)
add('no payload', 'PAYLOAD_MISSING', /payloads\/\d+/, (c) => c.remove(c.named(/project-0\/payloads\/\d+\.json$/)))
add('no salt', 'PAYLOAD_MISSING', /payloads\/\d+/, (c) => c.remove(c.named(/project-0\/payloads\/\d+\.salt$/)))
add('another payload', 'PAYLOAD_CHANGED', /payloads\/\d+/, (c) =>
  c.write(c.named(/project-0\/payloads\/\d+\.json$/), '{}'),
)
add('a salt of no form', 'PAYLOAD_CHANGED', /payloads\/\d+/, (c) =>
  c.write(c.named(/project-0\/payloads\/\d+\.salt$/), 'zz\n'),
)
add('a salt in capitals', 'PAYLOAD_CHANGED', /payloads\/\d+/, async (c) => {
  const name = c.named(/project-0\/payloads\/\d+\.salt$/)
  await c.write(name, (await c.read(name)).toString().toUpperCase())
})
add('an erasure of which nothing tells', 'PAYLOAD_MISSING', /payloads\/\d+\.erased/, async (c) => {
  const name = c.named(/project-0\/payloads\/\d+\.json$/)
  await c.remove(name, name.replace(/json$/, 'salt'))
  await c.write(name.replace(/json$/, 'erased'), 'erased, see 1\n')
})
add('a note of erasure beside a payload', 'BUNDLE_MALFORMED', /payloads\/\d+/, async (c) =>
  c.write(c.named(/project-0\/payloads\/\d+\.json$/).replace(/json$/, 'erased'), 'erased, see 1\n'),
)
add('an event of a run less', 'ENTRY_LEFT_OUT', /run .*: an entry of it was left out/, async (c) =>
  c.remove(...allOfEntry(await entryOf(c, 'run.started'))),
)
add('the begin of the ticket less', 'ENTRY_LEFT_OUT', /./, async (c) =>
  c.remove(...allOfEntry(await entryOf(c, 'ticket.created'))),
)
// Attestations.
add('an attestation less', 'ATTESTATION_MISSING', /attestation/, (c) => c.remove(c.named(/^attestations\//)))
add('an attestation that is no JSON', 'ATTESTATION_INVALID', /attestations\//, (c) =>
  c.write(c.named(/^attestations\//), '{'),
)
add('an attestation of another type', 'ATTESTATION_INVALID', /attestations\//, (c) =>
  c.edit(c.named(/^attestations\//), 'application/vnd.in-toto+json', 'text/plain'),
)
add('an attestation without a signature', 'ATTESTATION_INVALID', /attestations\//, async (c) => {
  const name = c.named(/^attestations\//)
  await c.write(name, JSON.stringify({ ...JSON.parse((await c.read(name)).toString()), signatures: [] }))
})
add('an attestation under another name', 'ATTESTATION_INVALID', /attestations\//, async (c) => {
  const name = c.named(/^attestations\//)
  await rename(path.join(c.folder, name), path.join(c.folder, `attestations/${'0'.repeat(64)}.dsse.json`))
})
add('a file among the attestations that is none', 'ATTESTATION_INVALID', /attestations\//, (c) =>
  c.write('attestations/x.txt', 'x'),
)
add('no key of attestations', 'ATTESTATION_INVALID', /attestation/, (c) => c.remove(c.named(/^keys\/attestation/)))
// People.
add('a key in two spellings that are two keys', 'SIGNING_KEY_INVALID', /(people|approvals)\//, async (c) => {
  const key = await makeSshKey(path.dirname(c.folder), 'another')
  await c.write(c.named(/^people\/.*key\.pub$/), `${key.publicKey}\n`)
})
add('and the other way round', 'SIGNING_KEY_INVALID', /people\//, async (c) =>
  c.write(c.named(/^people\/.*key\.pem$/), await c.read(c.named(/log\.pem$/))),
)
add('an approval in the folder of another', 'APPROVAL_INVALID', /approvals\//, (c) =>
  rename(path.dirname(path.join(c.folder, c.named(/^approvals\//))), path.join(c.folder, 'approvals/x')),
)
add('a statement of the key in the place of the approval', 'APPROVAL_INVALID', /approvals\//, async (c) =>
  c.write(c.named(/^approvals\/.*statement\.json$/), await c.read(c.named(/^people\/.*statement\.json$/))),
)
add('a payload without its entry', 'BUNDLE_MALFORMED', /payloads\/999\.json: no entry/, (c) =>
  c.write('logs/project-0/payloads/999.json', '{}'),
)
add('an approval less', 'APPROVAL_INVALID', /approvals\/[^:]*: the person's signature is not here/, (c) =>
  rm(path.join(c.folder, 'approvals'), { recursive: true }),
)
add('an approval of another statement', 'APPROVAL_INVALID', /approvals\//, (c) =>
  c.edit(c.named(/^approvals\/.*statement\.json$/), 'approved', 'rejected'),
)
add('an approval of no form', 'APPROVAL_INVALID', /approvals\/.*approval\.json/, (c) =>
  c.write(c.named(/^approvals\/.*approval\.json$/), '{}'),
)
add('an approval whose signature was changed', 'APPROVAL_INVALID', /approvals\//, (c) =>
  c.edit(c.named(/^approvals\/.*\.sig$/), 'AAAA', 'AAAB'),
)
add('no key of a person', 'FILE_MISSING', /people\//, (c) => rm(path.join(c.folder, 'people'), { recursive: true }))
add('a key of a person of no form', 'SIGNING_KEY_INVALID', /people\//, (c) =>
  c.write(c.named(/^people\/.*key\.json$/), '{}'),
)
add('a key of a person of another person', 'APPROVAL_INVALID', /approvals\//, (c) =>
  c.edit(c.named(/^people\/.*key\.json$/), /"user_id": ?"[^"]*"/, '"user_id":"x"'),
)
add(
  'a key of a person that no approval needs',
  'SIGNING_KEY_INVALID',
  /people\/x\/key\.pem: no approval/,
  async (c) => {
    await mkdir(path.join(c.folder, 'people/x'))
    await c.write('people/x/key.pem', await c.read(c.named(/^people\/.*key\.pem$/)))
  },
)
add('a whole person that no approval needs', 'SIGNING_KEY_INVALID', /people\/0+-x\/key\.json: no approval/, (c) =>
  cp(path.dirname(path.join(c.folder, c.named(/^people\//))), path.join(c.folder, 'people/00000000-x'), {
    recursive: true,
  }),
)
add(
  'a signature of a passkey beside that of an SSH key',
  'APPROVAL_INVALID',
  /approvals\/.*sig\.der: no approval/,
  (c) => c.write(c.named(/^approvals\/.*statement\.json$/).replace('statement.json', 'sig.der'), 'x'),
)
add('an approval in the folder of a key', 'SIGNING_KEY_INVALID', /people\/.*approval\.json: no approval/, async (c) =>
  c.write(
    c.named(/^people\/.*key\.pem$/).replace('key.pem', 'approval.json'),
    await c.read(c.named(/^approvals\/.*approval\.json$/)),
  ),
)
// Files and records.
add('a file that was changed', 'ARTIFACT_CHANGED', /artifacts\/1-core_switch\.json: not the file/, (c) =>
  c.write(c.named(/^artifacts\/1-/), 'x'),
)
add('a file that nobody described', 'ARTIFACT_CHANGED', /artifacts\/x: bundle\.json does not describe it/, (c) =>
  c.write('artifacts/x', 'x'),
)
add('a file under the digest of another', 'ARTIFACT_CHANGED', /another file was recorded/, (c) =>
  c.describe((d) => (d.artifacts[0]!.sha256 = d.artifacts[1]!.sha256)),
)
add(
  'a file of which the description is silent',
  'ARTIFACT_LEFT_OUT',
  /does not say what became of the file/,
  async (c) => {
    await c.remove(c.named(/^artifacts\/1-/))
    await c.describe((d) => d.artifacts.shift())
  },
)
add('two files in the place of each other', 'ARTIFACT_CHANGED', /artifacts\//, (c) =>
  c.describe((d) => {
    const [one, other] = d.artifacts
    ;[one!.path, other!.path] = [other!.path, one!.path]
  }),
)
add('another ticket', 'RECORD_CHANGED', /tickets\//, (c) => c.edit(c.named(/^tickets\//), '"version":1', '"version":2'))
add('a ticket under another id', 'RECORD_CHANGED', /tickets\//, (c) =>
  rename(path.join(c.folder, c.named(/^tickets\//)), path.join(c.folder, 'tickets/x.json')),
)
add('a record of a run that nobody attested', 'RECORD_CHANGED', /runs\/x\/outputs\.json/, async (c) => {
  await mkdir(path.join(c.folder, 'runs/x'))
  await c.write('runs/x/outputs.json', '{}')
})
add('other findings', 'RECORD_CHANGED', /runs\/.*outputs\.json/, (c) =>
  c.edit(c.named(/^runs\/.*outputs/), 'passed', 'failed'),
)

// Strays: what nothing needs, what is written in another way than the log writes.
add(
  'a consistency proof that nothing needs',
  'BUNDLE_MALFORMED',
  /consistency\/1-2\.txt: nothing here needs it/,
  async (c) => {
    await mkdir(path.join(c.folder, 'logs/project-0/consistency'), { recursive: true })
    await c.write('logs/project-0/consistency/1-2.txt', '')
  },
)
add(
  'a key of attestations under the name of another',
  'ATTESTATION_INVALID',
  /keys\/attestation-0+\.pem: its name is that of another key/,
  async (c) => c.write(`keys/attestation-${'0'.repeat(64)}.pem`, await c.read(c.named(/^keys\/attestation/))),
)
add('a key of attestations that is none', 'ATTESTATION_INVALID', /keys\/attestation-0+\.pem/, (c) =>
  c.write(`keys/attestation-${'0'.repeat(64)}.pem`, 'x'),
)
add('an entry under an index with a zero before it', 'PROOF_INVALID', /entries\/0\d+/, async (c) => {
  const entry = await entryOf(c, 'ticket.approved')
  for (const name of allOfEntry(entry))
    await rename(path.join(c.folder, name), path.join(c.folder, name.replace(/(\d+)(?=\.[a-z-]+$)/, '0$1')))
})
const rewritten =
  (change: (entry: string) => string): Case['damage'] =>
  async (c) => {
    const name = await entryOf(c, 'ticket.approved')
    await c.write(name, change((await c.read(name)).toString()))
  }
const NOT_CANONICAL = /entries\/\d+\.json: not an entry as the log writes it/
add(
  'an entry in another order',
  'ENTRY_MALFORMED',
  NOT_CANONICAL,
  rewritten((entry) => entry.replace(/^\{("act":"[^"]*"),(.*)\}$/, '{$2,$1}')),
)
add(
  'an entry with a space',
  'ENTRY_MALFORMED',
  NOT_CANONICAL,
  rewritten((entry) => entry.replace('"act":', '"act": ')),
)
add(
  'an entry with a field twice',
  'ENTRY_MALFORMED',
  NOT_CANONICAL,
  rewritten((entry) => entry.replace('"act":', '"act":"run.created","act":')),
)
add(
  'an entry with an escape that needs none',
  'ENTRY_MALFORMED',
  NOT_CANONICAL,
  rewritten((entry) => entry.replace('"act":"t', '"act":"\\u0074')),
)
add(
  'an entry with a number in another spelling',
  'ENTRY_MALFORMED',
  NOT_CANONICAL,
  rewritten((entry) => entry.replace('"v":1}', '"v":1.0}')),
)
add(
  'an entry with an unknown field',
  'ENTRY_MALFORMED',
  NOT_CANONICAL,
  rewritten((entry) => entry.replace('"v":1}', '"v":1,"x":1}')),
)
add(
  'an entry of another version',
  'ENTRY_MALFORMED',
  NOT_CANONICAL,
  rewritten((entry) => entry.replace('"v":1}', '"v":2}')),
)

// What nothing binds, numbers that are none, names that are like others.
add('a key of a log under a name like its', 'LOG_KEY', /policy: it names no key of writ\.log/, (c) =>
  c.edit('policy', /^log writ\.log/gm, 'log writxlog'),
)
add('a task that no entry speaks of', 'RECORD_CHANGED', /tasks\/x\/journal\.json/, async (c) => {
  await mkdir(path.join(c.folder, 'tasks/x'), { recursive: true })
  await c.write('tasks/x/journal.json', '{}')
})
add('a number beyond those that are exact', 'BUNDLE_MALFORMED', /bundle\.json/, (c) =>
  c.edit('bundle.json', /("subject":.*?"number":\s*)\d+/s, '$19007199254740993'),
)
add('a number beyond all', 'BUNDLE_MALFORMED', /bundle\.json/, (c) =>
  c.edit('bundle.json', /("subject":.*?"number":\s*)\d+/s, '$11e999'),
)
add('a size beyond all', 'BUNDLE_MALFORMED', /bundle\.json/, (c) => c.edit('bundle.json', /("size":\s*)\d+/, '$11e999'))

/** Archives that are damaged, by what is said of them. */
async function damagedArchives(zip: string, folder: string): Promise<[said: string, file: string][]> {
  const bytes = await readFile(zip)
  const unpacks = 'the archive is damaged at verify.sh: it does not unpack to what the archive says'
  const directory = bytes.readUInt32LE(bytes.length - 6)
  const changed = (at: readonly number[], change: (value: number) => number) => {
    const copy = Buffer.from(bytes)
    for (const place of at) copy.writeUInt32LE(change(copy.readUInt32LE(place)) >>> 0, place)
    return copy
  }
  const inDirectory = (offset: number, change: (value: number) => number) => changed([directory + offset], change)
  // In the header of the first file as well, which stands at the very beginning.
  const inBoth = (offset: number, change: (value: number) => number) =>
    changed([directory + offset, offset - 2], change)
  const all: [string, Buffer][] = [
    ['this is no zip archive, or something stands behind its directory', Buffer.concat([bytes, Buffer.from('x')])],
    ['the archive has something around its directory', Buffer.concat([bytes, bytes])],
    [unpacks, inBoth(16, (checksum) => checksum ^ 1)],
    [unpacks, inBoth(24, (size) => size - 1)],
    [unpacks, inBoth(24, (size) => size + 1)],
    // Who reads the archive from its beginning has other files than who reads its directory.
    ['the archive says two things of verify.sh', changed([14], (checksum) => checksum ^ 1)],
    ['the archive says two things of verify.sh', changed([22], (size) => size - 1)],
    [unpacks, behindStream(bytes, Buffer.from('behind'))],
    ['verify.sh of the archive is a link', inDirectory(38, () => 0o120777 << 16)],
  ]
  return Promise.all(
    all.map(async ([said, archive], index): Promise<[string, string]> => {
      const file = path.join(folder, `archive-${index}.zip`)
      await writeFile(file, archive)
      return [said, file]
    }),
  )
}

/** The first file of an archive with bytes behind the end of what was deflated, which its sizes and the directory allow for. */
function behindStream(zip: Buffer, behind: Buffer): Buffer {
  const directory = zip.readUInt32LE(zip.length - 6)
  const size = zip.readUInt32LE(directory + 20)
  const end = 30 + zip.readUInt16LE(26) + zip.readUInt16LE(28) + size
  const longer = Buffer.concat([zip.subarray(0, end), behind, zip.subarray(end)])
  // The sizes of the first file, in the directory and before its bytes; the place of every other, and of the directory.
  const moved = directory + behind.length
  longer.writeUInt32LE(size + behind.length, moved + 20)
  longer.writeUInt32LE(size + behind.length, 18)
  for (let at = moved; at < longer.length - 22; ) {
    const place = longer.readUInt32LE(at + 42)
    if (place > 0) longer.writeUInt32LE(place + behind.length, at + 42)
    at += 46 + longer.readUInt16LE(at + 28) + longer.readUInt16LE(at + 30) + longer.readUInt16LE(at + 32)
  }
  longer.writeUInt32LE(moved, longer.length - 6)
  return longer
}

/** A folder of a bundle, and how it is damaged. `names` are those of the sound one. */
function copyAt(folder: string, names: readonly string[], title: string): Copy {
  const read = (name: string) => readFile(path.join(folder, name))
  const write = (name: string, bytes: string | Uint8Array) => writeFile(path.join(folder, name), bytes)
  return {
    folder,
    named: (pattern) => names.find((name) => pattern.test(name))!,
    read,
    write,
    async edit(name, from, to) {
      const before = (await read(name)).toString()
      const after = before.replace(from, to)
      assert.notEqual(after, before, `${title}: ${name}`)
      await write(name, after)
    },
    async describe(change) {
      const described = JSON.parse((await read('bundle.json')).toString())
      change(described)
      await write('bundle.json', JSON.stringify(described))
    },
    async remove(...gone) {
      for (const name of gone) await rm(path.join(folder, name))
    },
  }
}

/**
 * Of verify.sh and the cases, when each of these was shown to that script last. It starts hundreds of programs for each: as long as
 * neither changes, every third is enough. `WRIT_TEST_ALL=1` shows it all of them; then note what the failure says here.
 */
const SHOWN = '30abed54f0b9b4c5e6d532488565cb063e5ebfab345565fcd05ea8570c02220f'
const script = await readFile('packages/server/src/evidence/verify.sh', 'utf8')
const shown = hash('sha256', [script, ...cases.flatMap(({ title, says, damage }) => [title, says, damage])].join('\0'))
const byScript = (one: Case): boolean =>
  shown !== SHOWN || process.env.WRIT_TEST_ALL === '1' || cases.indexOf(one) % 3 === 0

test('every case was shown to the script as it is', () => assert.equal(SHOWN, shown))

test('each damaged bundle is refused by the library and by the script, for the same reason', {
  timeout: 900_000,
}, async (t) => {
  await using system = await startConsole({ fakeClock: true })
  await makeTicket(system, undefined, [['core switch.json', '{"hostname":"sw1"}']])
  // A minute later the instance log has recorded the project's.
  system.advance(61_000)
  await system.settle()
  const zip = path.join(system.folder, 'bundle.zip')
  const good = path.join(system.folder, 'good')
  await exportBundle(system, zip, { subject: 'ticket', id: 1 })
  await unpack(zip, good)
  const keys = await openKeys(path.join(system.folder, 'data/keys'), Date.now())
  const { names } = await folderFiles(good)
  assert.equal((await verifySh(good)).code, 0)
  const reports: BundleReport[] = []

  async function judge(one: Case, folder: string): Promise<BundleReport> {
    await cp(good, folder, { recursive: true })
    await one.damage(copyAt(folder, names, one.title))
    if (!one.unsigned) await signFolder(folder, keys)
    const report = await verifyBundle(await folderFiles(folder), { sha256, sha512, verify: verifySignature })
    assert.equal(report.fault?.code, one.code, `${one.title}: ${JSON.stringify(report.fault)}`)
    if (!byScript(one)) return report
    const { code, err, out } = await verifySh(folder)
    assert.equal(code, 1, `${one.title}: ${out}${err}`)
    // One sentence, and nothing of the tools beside it.
    assert.match(err, /^FAILED: .*\n$/, one.title)
    assert.match(err, one.says, one.title)
    return report
  }
  const folderOf = (index: number) => path.join(system.folder, `bad-${index}`)
  const waiting = cases.map((one, index) => ({ one, index }))
  const worker = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const { one, index } = next
      await t.test(one.title, async () => {
        reports[index] = await judge(one, folderOf(index))
      })
    }
  }
  await Promise.all([worker(), worker()])

  // As people have them: zipped, to `writ verify` and to the page of the console.
  const zips: string[] = []
  for (const [index] of cases.entries()) {
    zips[index] = path.join(system.folder, `bad-${index}.zip`)
    await run('zip', ['-q', '-r', '-D', zips[index], '.'], { cwd: folderOf(index) })
  }
  await t.test('and by writ verify, in the same words', async (sub) => {
    const { writ } = await openCommandLine(sub)
    for (const [index, { title }] of cases.entries()) {
      const { code, err } = await writ(['verify', zips[index]!])
      const { code: fault, path: file, reason } = reports[index]!.fault!
      assert.equal(code, 5, title)
      const said = `writ: The bundle does not verify: ${file}: ${reason}. `
      assert.ok(err.startsWith(said) && err.includes(`[${fault}]`), `${said}\n${err}`)
    }
  })
  // An archive that is damaged, or that others would unpack to something else.
  const archives = await damagedArchives(zip, system.folder)
  await t.test('a damaged archive is refused by writ verify', async (sub) => {
    const { writ } = await openCommandLine(sub)
    for (const [said, file] of archives) {
      const { code, err } = await writ(['verify', file])
      assert.deepEqual([code, err.includes('[BUNDLE_MALFORMED]')], [5, true], said)
      assert.ok(err.startsWith(`writ: The bundle does not verify: ${file}: ${said}. `), `${said}\n${err}`)
    }
  })
  await t.test('and by the page of the console', { skip }, async () => {
    await using tab = await openTab(system)
    await tab.signIn(system.admin)
    await tab.open('default/audit')
    const { page } = tab
    for (const [index, { title }] of cases.entries()) {
      const { path: file, reason } = reports[index]!.fault!
      await page.locator('input[type=file]').setInputFiles(zips[index]!)
      await page
        .locator('.bundle', { hasText: `bad-${index}.zip` })
        .locator('.verdict')
        .waitFor()
      const said = await page.locator('.bundle .verdict').innerText()
      assert.equal(said, `Does not verify: ${file}: ${reason}`, title)
    }
    for (const [said, file] of archives) {
      const name = path.basename(file)
      await page.locator('input[type=file]').setInputFiles(file)
      await page.locator('.bundle', { hasText: name }).locator('.verdict').waitFor()
      assert.equal(await page.locator('.bundle .verdict').innerText(), `Does not verify: ${name}: ${said}`)
    }
    await page.locator('input[type=file]').setInputFiles(zip)
    await page.getByText('Verified in this page, without asking the server.').waitFor()
    assert.deepEqual(tab.broken, [])
  })
})
