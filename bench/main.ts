/**
 * `npm run bench -- [suite ...] [--json] [--long | --longest]`: figures as ratios against peers in the same run on the same
 * machine. Never a test: a busy machine moves absolute figures by a factor of two. Without a suite it names them.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Figure, met } from './figure.ts'

const asked = process.argv.slice(2)
const json = asked.includes('--json')
const isLongest = asked.includes('--longest')
const isLong = isLongest || asked.includes('--long')

const suites: Record<string, () => Promise<Figure[]>> = {
  start: async () => (await import('./suites/start.ts')).start(),
  tickets: async () => (await import('./suites/tickets.ts')).tickets(),
  uploads: async () => (await import('./suites/uploads.ts')).uploads(),
  audit: async () => (await import('./suites/audit.ts')).audit(),
  commits: async () => (await import('./suites/commits.ts')).commits(),
  tasks: async () =>
    isLong ? (await import('./suites/long.ts')).long(isLongest) : (await import('./suites/tasks.ts')).tasks(),
  backlog: async () => (await import('./suites/backlog.ts')).backlog(),
  dispatch: async () => (await import('./suites/dispatch.ts')).dispatch(),
  sockets: async () => (await import('./suites/sockets.ts')).sockets(),
  console: async () => (await import('./suites/console.ts')).console(),
  verify: async () => (await import('./suites/verify.ts')).verify(),
}

const names = asked.filter((one) => !one.startsWith('--'))
const wanted = names.includes('all') ? Object.keys(suites) : names
const unknown = wanted.filter((name) => !suites[name])
if (wanted.length === 0 || unknown.length > 0) {
  process.stderr.write(
    `${unknown.length > 0 ? `No suite is called ${unknown.join(', ')}. ` : ''}Suites: ${Object.keys(suites).join(', ')}, or all.\n`,
  )
  process.exit(2)
}
// The peers and the load generator are no dependency of the product: they are installed when somebody measures, and again
// when other ones are asked for than are there. npm writes its own list last, so a cut-off installation is done again.
const lock = join(import.meta.dirname, 'package-lock.json')
const installed = join(import.meta.dirname, 'node_modules/.package-lock.json')
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs)
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'ignore', 'inherit'],
  })

for (const name of wanted) {
  for (const figure of await suites[name]!()) {
    if (json) process.stdout.write(`${JSON.stringify(figure)}\n`)
    else process.stdout.write(`${describe(figure)}\n`)
  }
}

function describe(f: Figure): string {
  const peer = f.peer === null ? '' : `, ${f.peer} ${f.peer_value} ${f.unit}: ratio ${f.ratio}`
  const goal =
    f.goal === null
      ? ''
      : ` (goal ${f.goal.at_least === undefined ? `at most ${f.goal.at_most}` : `at least ${f.goal.at_least}`}: ${met(f) ? 'met' : 'NOT met'})`
  return `${f.suite}: ${f.figure} [${f.mode}] ${f.ours} ${f.unit}${peer}${goal}`
}
