import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { Submitted } from '@writ/api'
import { parse, stringify } from 'yaml'
import { missingBackend } from './servers/missing-backend.ts'
import { isBorrowed, missingPostgres, startPostgres } from './servers/postgres.ts'
import { TestSystem } from './test-system.ts'
import { ok } from './verifies.ts'

const deploy = path.join(import.meta.dirname, '../deploy')
const promtool = '/usr/bin/promtool'
const skip = missingBackend('promtool', existsSync(promtool) ? undefined : 'the package prometheus is not installed')

/** Metrics after something of each kind happened, as Prometheus gets them. */
async function scrape(): Promise<string> {
  await using sys = await TestSystem.start()
  const { id } = ok(await sys.admin.post<Submitted>('/tasks', { handler: 'system.ping' }), 201)
  ok(await sys.admin.get(`/tasks/${id}/wait`))
  const { token } = ok(await sys.admin.post<{ token: string }>('/tokens', { name: 'door', role: 'admin' }), 201)
  const failed = { task: 'script.execute', taskData: {}, async: false }
  ok(await sys.anonymous.post('//dispatch', failed, { headers: { 'x-api-token': token } }))
  return ok(await sys.anonymous.get<string>('//metrics'))
}
const metrics = scrape()

test('the alert rules and the configuration are what Prometheus takes', { skip }, () => {
  execFileSync(promtool, ['check', 'rules', path.join(deploy, 'prometheus/rules.yml')])
  // The rules stand where the container has them; here they were checked above.
  const config = parse(readFileSync(path.join(deploy, 'prometheus/prometheus.yml'), 'utf8')) as { rule_files: string[] }
  assert.deepEqual(config.rule_files, ['/etc/prometheus/rules.yml'])
})

test('our metrics pass the linter of Prometheus', { skip }, async () => {
  // Those of Node's process come from the client library, under names that the linter does not like.
  const defaults = /writ_(nodejs|process)_/
  const own = (await metrics)
    .split('\n')
    .filter((line) => !defaults.test(line))
    .join('\n')
  const { status, stderr, stdout } = spawnSync(promtool, ['check', 'metrics'], { input: own, encoding: 'utf8' })
  assert.equal(status, 0, stderr + stdout)
})

test('dashboard and rules ask for metrics that there are', async () => {
  const known = new Set([...(await metrics).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!))
  const texts = [
    ...globSync('grafana/dashboards/*.json', { cwd: deploy }).map((file) =>
      readFileSync(path.join(deploy, file), 'utf8'),
    ),
    readFileSync(path.join(deploy, 'prometheus/rules.yml'), 'utf8'),
  ]
  const asked = texts.flatMap((text) => [...text.matchAll(/\b(?:writ|procurator)_[a-z_]+/g)].map(([name]) => name))
  assert.ok(asked.length > 20)
  assert.deepEqual(
    [...new Set(asked)].filter((name) => !known.has(name) && !known.has(name.replace(/_(bucket|sum|count)$/, ''))),
    [],
  )
})

test('the composition starts what its files configure, and opens nothing to the outside', () => {
  const compose = parse(readFileSync(path.join(deploy, 'compose.yaml'), 'utf8'), { merge: true }) as {
    services: Record<
      string,
      { image?: string; ports?: string[]; volumes?: string[]; environment?: Record<string, string> }
    >
    volumes: Record<string, unknown>
  }
  // pg_dump of the image is for this server.
  const [, dumped] = readFileSync(path.join(deploy, 'Dockerfile'), 'utf8').match(/^ARG POSTGRES=(\S+)$/m)!
  assert.equal(dumped, compose.services.postgres!.image)
  // Workers are servers with the same settings, but for what they do and for the port.
  const { writ, worker } = compose.services
  assert.deepEqual(worker!.environment, { ...writ!.environment, WRIT_ROLES: 'worker' })
  assert.deepEqual([worker!.volumes, worker!.ports], [writ!.volumes, undefined])
  for (const [name, { image, ports = [], volumes = [] }] of Object.entries(compose.services)) {
    if (image !== undefined) assert.match(image, /:v?\d+(\.\d+)*(-[a-z]+)?$/, `${name} has a pinned image`)
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, `${name} listens on this machine only`)
    for (const [source] of volumes.map((volume) => volume.split(':')))
      if (source!.startsWith('.')) assert.ok(existsSync(path.join(deploy, source!)), `${source} is there`)
      else assert.ok(source! in compose.volumes, `${source} is a volume`)
  }
  for (const file of globSync('**/*.yaml', { cwd: deploy }))
    parse(readFileSync(path.join(deploy, file), 'utf8'), { merge: true })
})

const withoutPostgres =
  missingBackend('PostgreSQL', missingPostgres()) ||
  (isBorrowed() && 'another server of PostgreSQL gets no logins of ours')
test('the database of the composition has two logins, and the server runs as neither owner nor superuser', {
  skip: withoutPostgres,
}, async () => {
  const postgres = await startPostgres({ fresh: true })
  try {
    const { port, username } = new URL(postgres.url)
    const passwords = { OWNER_PASSWORD: "own'er", SERVER_PASSWORD: 'server' }
    execFileSync('bash', [path.join(deploy, 'postgres/logins.sh')], {
      env: { PATH: process.env.PATH, PGHOST: '127.0.0.1', PGPORT: port, POSTGRES_USER: username, ...passwords },
    })
    const { services } = parse(readFileSync(path.join(deploy, 'compose.yaml'), 'utf8'), { merge: true }) as {
      services: { writ: { environment: Record<string, string> } }
    }
    const settings = Object.entries(services.writ.environment).filter(([, value]) => value.startsWith('postgres://'))
    const env = Object.fromEntries(
      settings.map(([name, url]) => [
        name,
        url
          .replace(/\$\{(\w+):\?[^}]*\}/, (_, asked: keyof typeof passwords) => encodeURIComponent(passwords[asked]))
          .replace('@postgres:5432', `@127.0.0.1:${port}`),
      ]),
    )
    assert.deepEqual(Object.keys(env), ['DATABASE_URL', 'WRIT_MIGRATION_URL'])
    await using sys = await TestSystem.start({ env })
    assert.deepEqual(sys.app.notes, [])
    ok(await sys.employee.post('/tickets', { title: 'x' }))
  } finally {
    await postgres.stop()
  }
})

test('what ships logs asks of Alloy only what the pinned version knows', () => {
  const { services } = parse(readFileSync(path.join(deploy, 'compose.yaml'), 'utf8'), { merge: true }) as {
    services: Record<string, { image?: string }>
  }
  // By hand, from the sources of that version; another version needs another look.
  assert.equal(services.alloy!.image, 'grafana/alloy:v1.7.5')
  const known: Record<string, readonly string[]> = {
    'local.file_match': ['path_targets'],
    'loki.source.file': ['targets', 'forward_to'],
    'loki.process': ['forward_to'],
    'stage.regex': ['expression', 'source'],
    'stage.json': ['expressions', 'source', 'drop_malformed'],
    'stage.labels': ['values'],
    'stage.timestamp': ['source', 'format', 'fallback_formats', 'location', 'action_on_failure'],
    'loki.write': [],
    endpoint: ['url'],
  }
  const inside: string[] = []
  const unknown: string[] = []
  for (const line of readFileSync(path.join(deploy, 'alloy/config.alloy'), 'utf8').split('\n')) {
    const block = line.match(/^\s*([a-z._]+)(?: "\w+")? \{$/)?.[1]
    const attribute = line.match(/^\s*(\w+)\s*=/)?.[1]
    if (block !== undefined) inside.push(block)
    else if (line.trim() === '}') inside.pop()
    else if (attribute !== undefined && !known[inside.at(-1)!]?.includes(attribute))
      unknown.push(`${inside.join(' > ')}: ${attribute}`)
  }
  assert.deepEqual([inside, unknown], [[], []])
})

/** What Prometheus makes of the rules: an alert as it should stand at a time, with its labels and annotations, or none. */
const alerts = [
  {
    title: 'a part that is not ready',
    series: { 'writ_ready{job="writ",instance="a",part="database"}': '1 0x9' },
    at: '3m',
    alert: 'WritNotReady',
    labels: { severity: 'critical', job: 'writ', instance: 'a', part: 'database' },
    says: 'Writ is not ready: database',
  },
  {
    title: 'a server that answers no scrape',
    series: { 'up{job="writ",instance="a"}': '1 0x9', 'up{job="writ",instance="b"}': '1x10' },
    at: '3m',
    alert: 'WritDown',
    labels: { severity: 'critical', job: 'writ', instance: 'a' },
    says: 'a has not answered a scrape for a minute.',
  },
  {
    title: 'no server, of which nothing is known any more',
    series: { 'up{job="writ",instance="a"}': '1 1 stale' },
    at: '5m',
    alert: 'WritDown',
    labels: { severity: 'critical', job: 'writ' },
    says: 'There has been no server to scrape for a minute.',
  },
  {
    title: 'the first dead letter, once for all servers',
    series: {
      'writ_dead_letters{job="writ",instance="a"}': '0 0 1x9',
      'writ_dead_letters{job="writ",instance="b"}': '0 0 1x9',
    },
    at: '4m',
    alert: 'WritDeadLetters',
    labels: { severity: 'warning', job: 'writ' },
    says: 'There are 1 dead letters. `writ dlq list` shows them.',
  },
  {
    title: 'dead letters that were known before the database was away',
    series: { 'writ_dead_letters{job="writ",instance="a"}': '2 2 stale _ 2x9' },
    at: '6m',
    alert: 'WritDeadLetters',
  },
  {
    title: 'the first delivery that is given up',
    series: { 'writ_webhook_deliveries_total{job="writ",instance="a",outcome="failed"}': '0 0 1x9' },
    at: '4m',
    alert: 'WritWebhooksFail',
    labels: { severity: 'warning', job: 'writ' },
    says: '`writ webhook list` shows which fail, and since when.',
  },
]
test('alerts fire for what they are about, once', { skip }, () => {
  const rules = parse(readFileSync(path.join(deploy, 'prometheus/rules.yml'), 'utf8')) as {
    groups: { rules: { alert: string; annotations: { summary: string; description?: string } }[] }[]
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-rules-'))
  try {
    const tests = alerts.map(({ title, series, at, alert, labels, says }) => {
      const { summary, description } = rules.groups[0]!.rules.find((rule) => rule.alert === alert)!.annotations
      const annotations =
        summary.includes('{{') || description === undefined ? { summary: says } : { summary, description: says }
      // The description of a part names its server.
      if (alert === 'WritNotReady')
        Object.assign(annotations, { description: description!.replace('{{ $labels.instance }}', 'a') })
      return {
        name: title,
        interval: '1m',
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        alert_rule_test: [
          {
            eval_time: at,
            alertname: alert,
            exp_alerts: labels === undefined ? [] : [{ exp_labels: labels, exp_annotations: annotations }],
          },
        ],
      }
    })
    const file = path.join(folder, 'test.yml')
    writeFileSync(
      file,
      stringify({ rule_files: [path.join(deploy, 'prometheus/rules.yml')], evaluation_interval: '1m', tests }),
    )
    const { status, stderr, stdout } = spawnSync(promtool, ['test', 'rules', file], { encoding: 'utf8' })
    assert.equal(status, 0, stderr + stdout)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

/** What a stage of the Dockerfile copies out of the repository, in a folder of its own, with the packages that npm would install. */
function stage(name: string): { folder: string; command: string[] | undefined; [Symbol.dispose](): void } {
  const root = path.join(deploy, '..')
  const text = readFileSync(path.join(deploy, 'Dockerfile'), 'utf8').split(/^FROM /m)
  const lines = text.find((part) => part.split('\n', 1)[0]!.endsWith(name))!.split('\n')
  const left = readFileSync(path.join(deploy, 'Dockerfile.dockerignore'), 'utf8').trim().split('\n')
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-stage-'))
  const filter = (source: string) => !left.some((pattern) => path.matchesGlob(path.relative(root, source), pattern))
  for (const line of lines) {
    if (!/^COPY (?!--)/.test(line)) continue
    const words = line.split(' ').slice(1)
    const to = words.pop()!
    for (const one of words)
      cpSync(path.join(root, one), path.join(folder, to, to.endsWith('/') ? path.basename(one) : ''), {
        recursive: true,
        filter,
      })
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'))
  const command = lines.find((line) => line.startsWith('CMD '))?.slice(4)
  return {
    folder,
    command: command === undefined ? undefined : (JSON.parse(command) as string[]),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  }
}

test('the image can be built of what its Dockerfile copies: the console', () => {
  using console = stage('AS console')
  const { status, stderr } = spawnSync('node', ['packages/console/build.ts'], { cwd: console.folder, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  assert.ok(existsSync(path.join(console.folder, 'packages/console/dist/index.html')))
})

test('the image can be built of what its Dockerfile copies: the server starts, and stops when it is told to', async () => {
  using packages = stage('AS packages')
  using server = stage('slim')
  // As COPY --from does, without what npm installed.
  cpSync(packages.folder, server.folder, {
    recursive: true,
    force: false,
    filter: (from) => !from.endsWith('node_modules'),
  })
  const env = { ...process.env, HOST: '127.0.0.1', PORT: '0', WRIT_DATA_DIR: path.join(server.folder, 'data') }
  const [program, ...args] = server.command!
  const running = spawn(program!, args, { cwd: server.folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve) => running.once('exit', resolve))
  let ready = false
  for await (const line of createInterface(running.stdout)) {
    if (!/is ready at http:/.test(line)) continue
    ready = true
    running.kill('SIGTERM')
  }
  assert.deepEqual([ready, await ended], [true, 0])
})
