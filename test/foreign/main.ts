/**
 * npm run test:foreign: Writ's logs, cosignatures, proofs and attestations before programs of torchwood, tessera, securesystemslib and
 * sigstore, which are fetched from Debian and built here. Not part of npm test: it needs the network, and a suite of Debian that moves.
 * Ends with one line, `N passed, N failed`, and exits 1 if anything failed, 2 if it could not be tried.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Tally } from '../tally.ts'
import { fetchPackages, missingDebian } from './debian.ts'

const SUITE = 'sid'
const GO = 'golang-1.26'
/** Whose word counts here. */
const JUDGES = [
  'torchwood',
  'cosign',
  'golang-filippo-torchwood-dev',
  'golang-github-transparency-dev-tessera-dev',
  'golang-github-transparency-dev-formats-dev',
  'golang-github-transparency-dev-merkle-dev',
  'golang-github-secure-systems-lab-go-securesystemslib-dev',
]
/** What they are built with, down to the last import; the second half is fsck's display, which is built and not used. */
const SOURCES = [
  `${GO}-go`,
  `${GO}-src`,
  'golang-golang-x-mod-dev',
  'golang-golang-x-crypto-dev',
  'golang-golang-x-sync-dev',
  'golang-golang-x-sys-dev',
  'golang-golang-x-time-dev',
  'golang-github-cenkalti-backoff-v5-dev',
  'golang-github-cespare-xxhash-v2-dev',
  'golang-github-go-logr-logr-dev',
  'golang-github-go-logr-stdr-dev',
  'golang-github-hashicorp-golang-lru-v2-dev',
  'golang-k8s-klog-dev',
  'golang-opentelemetry-otel-dev',

  'golang-github-aymanbagabas-go-osc52-v2-dev',
  'golang-github-charmbracelet-bubbletea-dev',
  'golang-github-charmbracelet-colorprofile-dev',
  'golang-github-charmbracelet-lipgloss-dev',
  'golang-github-charmbracelet-x-dev',
  'golang-github-clipperhouse-uax29-dev',
  'golang-github-dustin-go-humanize-dev',
  'golang-github-lucasb-eyer-go-colorful-dev',
  'golang-github-mattn-go-isatty-dev',
  'golang-github-mattn-go-runewidth-dev',
  'golang-github-muesli-ansi-dev',
  'golang-github-muesli-cancelreader-dev',
  'golang-github-muesli-termenv-dev',
  'golang-github-rivo-uniseg-dev',
  'golang-github-robinus2-golang-moving-average-dev',
  'golang-github-xo-terminfo-dev',
]

const root = path.join(import.meta.dirname, '../..')
const cache = path.join(root, 'node_modules/.cache/writ-foreign')
const programs = path.join(cache, 'programs')

const missing = missingDebian() ?? missingPrograms()
if (missing !== undefined) giveUp(missing)
const { root: debian, versions } = await fetchPackages(cache, SUITE, [...JUDGES, ...SOURCES]).catch((error: Error) =>
  giveUp(`Debian's packages cannot be fetched: ${error.message}`),
)
await build().catch((error: Error) => giveUp(error.message))
const tally = await check()
const judges = versions.filter((one) => JUDGES.includes(one.split(' ')[0]!))
process.stdout.write(`\nDebian ${SUITE}: ${judges.join(', ')}\n`)
process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`)
process.exitCode = tally.failed === 0 && tally.passed > 0 ? 0 : 1

/** What the tests themselves run, beside what is fetched. */
function missingPrograms(): string | undefined {
  const found = (name: string) =>
    (process.env.PATH ?? '').split(path.delimiter).some((folder) => existsSync(path.join(folder, name)))
  const absent = ['ssh-agent', 'ssh-add', 'ssh-keygen', 'openssl', 'jq', 'unzip', 'python3'].filter(
    (name) => !found(name),
  )
  return absent.length === 0 ? undefined : `not installed here: ${absent.join(', ')}`
}

/** The programs of Debian that run as they are, tessera's fsck and the few lines of `go/`, side by side. */
async function build(): Promise<void> {
  await mkdir(programs, { recursive: true })
  for (const name of ['litewitness', 'witnessctl', 'cosign'])
    await copyFile(path.join(debian, 'usr/bin', name), path.join(programs, name))
  const goroot = path.join(debian, 'usr/lib', GO.replace('golang-', 'go-'))
  const env = {
    ...process.env,
    GOROOT: goroot,
    GOPATH: path.join(debian, 'usr/share/gocode'),
    GOCACHE: path.join(cache, 'go-build'),
    GO111MODULE: 'off',
    GOTOOLCHAIN: 'local',
    GOFLAGS: '',
    CGO_ENABLED: '0',
  }
  const wanted = {
    fsck: 'github.com/transparency-dev/tessera/cmd/fsck',
    tail: './tail',
    proof: './proof',
    dsse: './dsse',
  }
  for (const [name, source] of Object.entries(wanted)) {
    const args = ['build', '-o', path.join(programs, name), source]
    const go = spawn(path.join(goroot, 'bin/go'), args, {
      cwd: path.join(import.meta.dirname, 'go'),
      env,
      stdio: 'inherit',
    })
    if ((await once(go, 'exit'))[0] !== 0)
      throw new Error(`${source} cannot be built: the suite has moved on (test/foreign/main.ts)`)
  }
}

async function check(): Promise<{ passed: number; failed: number }> {
  const told = path.join(cache, 'tally.jsonl')
  await rm(told, { force: true })
  const args = [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${path.join(root, 'test/tally.ts')}`,
    `--test-reporter-destination=${told}`,
    path.join(import.meta.dirname, 'foreign.ts'),
  ]
  const env = { ...process.env, WRIT_FOREIGN_PROGRAMS: programs }
  const tests = spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' })
  const [code] = await once(tests, 'exit')
  const lines = (await readFile(told, 'utf8').catch(() => '')).split('\n').filter(Boolean)
  const summary = lines.map((line) => JSON.parse(line) as Tally).find((one) => one.type === 'summary') // written by tally.ts
  // Died without a summary, or with a bad code that no test explains.
  return { passed: summary?.passed ?? 0, failed: summary?.failed || (code === 0 ? 0 : 1) }
}

function giveUp(reason: string): never {
  process.stderr.write(`${reason}\n`)
  process.exit(2)
}
