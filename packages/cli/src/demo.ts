/**
 * `npm run demo`: the main job on real input. Starts a server on the embedded database in a folder of its own, does what
 * an employee and an approver would do, verifies the log without trusting the server, and leaves the server running.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { RunDetail } from '@writ/api'
import { type Client, createClient } from '@writ/sdk'
import { openFileSource } from '@writ/sdk/node'
import { verifyLog } from '@writ/tlog'
import { sha256, verifyEd25519 } from './verify-crypto.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
const folder = join(root, 'data', `demo-${stamp}`)
const good = ['access-switch.cfg', 'core-switch.json', 'vlan-plan.yaml', 'router.ini']
const broken = 'broken-switch.json'

const say = (text = '') => process.stdout.write(`${text}\n`)
const step = (title: string) => say(`\n== ${title}`)
const password = () => randomBytes(12).toString('base64url')

async function main(): Promise<void> {
  const started = performance.now()
  step('Start a server')
  const admin = { username: 'admin', password: password() }
  // As `npm start` takes it; what it names may be in use, and the demo runs all the same.
  const port = await freePort(Number(process.env.PORT) || 8000)
  const url = `http://localhost:${port}`
  const pid = startServer(port, admin)
  await waitUntilReady(url)
  say(`   ${url}, data in ${relative(root, folder)}, process ${pid}`)

  step('Who is who')
  const boss = createClient({ url, token: await login(url, admin) })
  const person = { username: 'employee', password: password() }
  await boss.users.create({
    body: { ...person, email: 'employee@example.com', full_name: '示例员工', role: 'employee' },
  })
  const employee = createClient({ url, token: await login(url, person) })
  say('   admin approves; employee does the work')

  step('A ticket for an asset')
  const asset = await boss.assets.create({
    body: { name: 'Factory Gateway', asset_type: 'switch', serial_number: 'SW-FAC-001', location: 'Factory A' },
  })
  const ticket = await employee.tickets.create({
    body: { title: '安装工厂交换机', description: '在工厂 A 安装新交换机并上传配置', asset_id: asset.id },
  })
  await boss.tickets.approve({
    params: { id: ticket.number },
    body: { digest: ticket.digest, reason: 'window agreed' },
  })
  say(`   ticket #${ticket.number} "${ticket.title}", approved by admin (never by whoever opened it)`)

  step('First proof: five files, one of them broken')
  const first = await prove(employee, ticket.number, [...good, broken])
  show(first)

  step('The file is mended; second proof')
  const second = await prove(employee, ticket.number, good)
  show(second)
  const done = await employee.tickets.get({ params: { id: ticket.number } })
  say(`   ticket #${done.number} is ${done.status}`)

  step('Verify')
  const report = await boss.verifyLog()
  if (!report.ok) throw new Error(`the server's own verification failed: ${report.reason}`)
  say(
    `   the server compared ${report.checked.rows} rows and ${report.checked.day_files} day files with its log: all agree`,
  )
  const log = await boss.audit.log()
  const verdict = await verifyLog({
    // The files themselves, read from disk: nothing here asks the server anything.
    read: (path) => readFile(join(log.folder, path)).catch(() => null),
    vkeys: [log.vkey],
    hash: sha256,
    verify: verifyEd25519,
    kept: report.checkpoint,
  })
  if (!verdict.ok) throw new Error(`the log does not verify: ${verdict.code} ${verdict.reason}`)
  say(
    `   checked here without the server: ${verdict.checkpoint.size} entries, root ${Buffer.from(verdict.checkpoint.root).toString('base64')}`,
  )

  step('Where things are')
  say(`   audit log for people    ${relative(root, log.audit_folder)}`)
  say(`   log for outsiders       ${relative(root, log.folder)} (checkpoint, tile/)`)
  say(`   evidence                ${relative(root, join(folder, 'blobs'))}`)
  say(`   console                 ${url}/app`)
  say(`   API and docs            ${url}/api/v1/docs`)
  say(`   admin                   ${admin.username} / ${admin.password}`)
  say(`   employee                ${person.username} / ${person.password}`)
  say(
    `\nDone in ${((performance.now() - started) / 1000).toFixed(1)} s. The server keeps running; stop it with: kill ${pid}`,
  )
}

/** Opens a proof run, uploads the files, and waits for the check that starts by itself after the last one. */
async function prove(client: Client, ticket: number, files: readonly string[]): Promise<RunDetail> {
  const run = await client.runs.start({
    body: { run_type: 'proof', ticket_id: ticket, script_id: 'proof.config_format' },
  })
  for (const name of files) {
    const file = await openFileSource(join(root, 'examples', name))
    await client.artifacts.upload({ query: { run_id: run.id }, file })
  }
  return client.runs.wait({ params: { id: run.number }, query: { timeout: 30 } })
}

function show(run: RunDetail): void {
  say(`   run #${run.number}: ${run.verdict?.toUpperCase()} (${run.result_summary})`)
  const report = run.outputs_manifest?.validation_report as {
    validation_results: { filename: string; validation: string; error?: string }[]
  }
  for (const result of report.validation_results)
    say(`     ${result.validation.padEnd(6)}  ${result.filename}${result.error ? `  ${result.error}` : ''}`)
}

function startServer(port: number, admin: { username: string; password: string }): number {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const out = openSync(join(folder, 'server.log'), 'a', 0o600)
  const child = spawn(process.execPath, [join(root, 'packages/server/src/main.js')], {
    cwd: folder,
    detached: true,
    stdio: ['ignore', out, out],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PORT: String(port),
      WRIT_DATA_DIR: folder,
      WRIT_ADMIN_USERNAME: admin.username,
      WRIT_ADMIN_PASSWORD: admin.password,
    },
  })
  closeSync(out)
  child.unref()
  return child.pid!
}

async function waitUntilReady(url: string): Promise<void> {
  for (const end = performance.now() + 30_000; performance.now() < end; await sleep(50)) {
    const ready = await fetch(`${url}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    )
    if (ready) return
  }
  throw new Error(`The server did not get ready:\n${readFileSync(join(folder, 'server.log'), 'utf8')}`)
}

async function login(url: string, who: { username: string; password: string }): Promise<string> {
  return (await createClient({ url }).auth.login({ body: who })).access_token
}

/** `wanted` if nobody listens there, else one that is free. */
function freePort(wanted: number): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(freePort(0)))
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : wanted))
    })
  })
}

await main().catch((error: unknown) => {
  process.stderr.write(`The demo stopped: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
