import assert from 'node:assert/strict'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe as group, test } from 'node:test'
import { inspect } from 'node:util'
import { type Config, describe, isLoopback, loadConfig } from './config.ts'
import { dispatchSettings, settings } from './settings.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const LONG = 'a-secret-of-more-than-thirty-two-characters'
let cwd: string

before(async () => {
  cwd = await fs.mkdtemp(path.join(tmpdir(), 'writ-config-'))
})
after(async () => {
  await fs.rm(cwd, { recursive: true })
})

type Given = { argv?: string[]; env?: Record<string, string>; dotEnv?: string; yaml?: string; secret?: string }

/** Loads in a folder that holds just the given files. */
async function load(given: Given) {
  const files = { '.env': given.dotEnv, 'writ.yaml': given.yaml, secret: given.secret }
  for (const [name, content] of Object.entries(files)) {
    if (content === undefined) await fs.rm(path.join(cwd, name), { force: true })
    else await fs.writeFile(path.join(cwd, name), content)
  }
  return loadConfig({ argv: given.argv ?? [], env: given.env ?? {}, cwd })
}

async function loadWell(given: Given): Promise<Config> {
  const { config, problems } = await load(given)
  assert.deepEqual(problems, undefined)
  assert.ok(config)
  return config
}

test('without any setting there is a complete configuration for loopback', async () => {
  const config = await loadWell({})
  assert.equal(config.host, '127.0.0.1')
  assert.equal(config.port, 8000)
  assert.equal(config.dataDir, path.join(cwd, 'data'))
  assert.deepEqual(config.database, { kind: 'sqlite', file: path.join(cwd, 'data/writ.db') })
  assert.deepEqual(config.blobs, { type: 'local', dir: path.join(cwd, 'data/blobs') })
  assert.equal(config.auditPath, path.join(cwd, 'data/audit'))
  assert.equal(config.secretKey, undefined)
  assert.equal(config.allowedIps, '*')
  assert.equal(config.dispatch.rateLimitMax, 30)
  assert.equal(config.sources.port, 'default')
})

group('precedence', () => {
  const layers: [string, Given, number, string][] = [
    ['writ.yaml over defaults', { yaml: 'port: 1' }, 1, 'writ.yaml'],
    ['.env over writ.yaml', { yaml: 'port: 1', dotEnv: 'PORT=2' }, 2, '.env (PORT)'],
    ['the environment over .env', { dotEnv: 'PORT=2', env: { PORT: '3' } }, 3, 'environment (PORT)'],
    ['flags over the environment', { env: { PORT: '3' }, argv: ['--port', '4'] }, 4, 'flag (--port)'],
    ['a flag with =', { argv: ['--port=5'] }, 5, 'flag (--port)'],
    ['an empty variable is not set', { env: { PORT: '' }, dotEnv: 'PORT=2' }, 2, '.env (PORT)'],
  ]
  for (const [title, given, port, source] of layers) {
    test(title, async () => {
      const config = await loadWell(given)
      assert.equal(config.port, port)
      assert.equal(config.sources.port, source)
    })
  }

  test('a documented name wins over its alias, and a higher layer wins over both', async () => {
    assert.equal((await loadWell({ env: { SERVER_HOST: 'localhost' } })).host, 'localhost')
    assert.equal((await loadWell({ env: { HOST: '127.0.0.2', SERVER_HOST: 'localhost' } })).host, '127.0.0.2')
    assert.equal((await loadWell({ env: { SERVER_HOST: 'localhost' }, dotEnv: 'HOST=127.0.0.2' })).host, 'localhost')
    assert.equal((await loadWell({ env: { DATA_DIR: 'elsewhere' } })).auditPath, path.join(cwd, 'elsewhere/audit'))
  })

  test('--config and WRIT_CONFIG name another file, which then has to exist', async () => {
    await fs.writeFile(path.join(cwd, 'other.yaml'), 'port: 7')
    assert.equal((await loadWell({ argv: ['--config', 'other.yaml'] })).port, 7)
    assert.equal((await loadWell({ env: { WRIT_CONFIG: 'other.yaml' } })).port, 7)
    const { problems } = await load({ env: { WRIT_CONFIG: 'missing.yaml' } })
    assert.deepEqual(problems, ['missing.yaml: there is no such file'])
  })
})

group('values', () => {
  const values: [Record<string, string>, (config: Config) => unknown, unknown][] = [
    [{ LOG_LEVEL: 'INFO' }, (c) => c.logLevel, 'info'],
    [{ OTEL_TRACES_SAMPLER_ARG: '.05' }, (c) => c.tracesShare, 0.05],
    [{ ALGORITHM: 'EdDSA' }, (c) => c.algorithm, 'EdDSA'],
    [{ ALLOWED_IPS: '10.0.0.0/8, ::1' }, (c) => c.allowedIps, ['10.0.0.0/8', '::1']],
    [{ ALLOWED_IPS: '*' }, (c) => c.allowedIps, '*'],
    [{ WRIT_TRUSTED_PROXIES: '127.0.0.1' }, (c) => c.trustedProxies, ['127.0.0.1']],
    [
      { WRIT_EGRESS_ALLOW: '192.168.0.0/16,hooks.internal' },
      (c) => c.egressAllow,
      ['192.168.0.0/16', 'hooks.internal'],
    ],
    [
      { WRIT_EGRESS_ALLOW: 'fd00::/8@netops, hooks.internal@web_2' },
      (c) => c.egressAllow,
      ['fd00::/8@netops', 'hooks.internal@web_2'],
    ],
    [
      { WRIT_CORS_ORIGINS: 'https://a.example,http://b.example:81' },
      (c) => c.corsOrigins,
      ['https://a.example', 'http://b.example:81'],
    ],
    [{ WRIT_PUBLIC_URL: 'https://writ.example/' }, (c) => c.publicUrl, 'https://writ.example'],
    [{ DATABASE_URL: 'sqlite+aiosqlite:///./app.db' }, (c) => c.database, { file: 'app.db' }],
    [{ DATABASE_URL: 'sqlite:////var/lib/writ.db' }, (c) => c.database, { file: '/var/lib/writ.db' }],
    [{ DATABASE_URL: 'postgres://u:p@db:5432/w' }, (c) => c.database, { url: 'postgres://u:p@db:5432/w' }],
    [{ DATABASE_URL: 'postgresql://u@db/w' }, (c) => c.database, { url: 'postgres://u@db/w' }],
    [{ DATABASE_URL: 'postgresql+asyncpg://u:p@db/w' }, (c) => c.database, { url: 'postgres://u:p@db/w' }],
    [{ DATABASE_URL: 'postgresql+psycopg2://u:p@db/w' }, (c) => c.database, { url: 'postgres://u:p@db/w' }],
    [{ REDIS_URL: 'rediss://:p@r:6380/1' }, (c) => c.redisUrl.reveal(), 'rediss://:p@r:6380/1'],
    [{ SERVER_PORT: '50002' }, (c) => c.dispatch.port, 50002],
    [{ SERVER_RELOAD: '0' }, (c) => c.dispatch.reload, false],
    [
      { API_TOKENS: '{"kq83hdn2-93hfyw5m":"admin"}', API_TOKEN: '0b7d-55e1-97ac-43f8' },
      (c) =>
        c.configuredTokens.map(({ token, role, scopes }) => [
          token.reveal(),
          role,
          scopes.includes('dispatch.feishuToken'),
        ]),
      [
        ['kq83hdn2-93hfyw5m', 'admin', false],
        ['0b7d-55e1-97ac-43f8', 'dev', false],
      ],
    ],
    [
      { API_TOKENS: 'kq83hdn2-93hfyw5m, 0b7d-55e1-97ac-43f8', API_ROLE: 'trusted' },
      (c) => c.configuredTokens.map(({ word, role, scopes }) => [word, role, scopes.includes('dispatch.feishuToken')]),
      [
        ['trusted', 'dev', true],
        ['trusted', 'dev', true],
      ],
    ],
    [{ WRIT_TEST_POSTGRES_URL: 'x' }, (c) => c.port, 8000],
  ]
  for (const [env, read, wanted] of values) {
    test(Object.entries(env).flat().join('='), async () => {
      const value = read(await loadWell({ env }))
      if (value === null || typeof value !== 'object' || !('kind' in value)) return assert.deepEqual(value, wanted)
      const address = (await loadWell({ env })).database
      const shown =
        address.kind === 'sqlite' ? { file: address.file.replace(`${cwd}/`, '') } : { url: address.url.reveal() }
      assert.deepEqual(shown, wanted)
    })
  }

  test('lists in writ.yaml may be lists', async () => {
    const config = await loadWell({ yaml: 'network:\n  allowed_ips: [10.0.0.1, 10.0.0.2]\ndispatch:\n' })
    assert.deepEqual(config.allowedIps, ['10.0.0.1', '10.0.0.2'])
  })

  test('a MinIO and an S3 store are described for openBlobs', async () => {
    const minio = { MINIO_ENDPOINT: 'minio:9000', MINIO_ACCESS_KEY: 'a', MINIO_SECRET_KEY: 'b', MINIO_BUCKET: 'c' }
    const one = await loadWell({ env: { ARTIFACT_STORAGE_TYPE: 'minio', ...minio } })
    assert.ok(one.blobs.type === 'minio')
    assert.equal(one.blobs.endpoint, 'http://minio:9000')
    assert.equal(one.blobs.secretKey?.reveal(), 'b')
    const two = await loadWell({ env: { ARTIFACT_STORAGE_TYPE: 's3', S3_BUCKET: 'c', S3_REGION: 'eu-west-1' } })
    assert.ok(two.blobs.type === 's3')
    assert.deepEqual([two.blobs.region, two.blobs.bucket, two.blobs.accessKey], ['eu-west-1', 'c', undefined])
  })

  const lines: [string, string][] = [
    ['PROJECT_NAME=a b # comment', 'a b'],
    ['PROJECT_NAME=a#b', 'a#b'],
    ['export PROJECT_NAME="a # b"', 'a # b'],
    ["PROJECT_NAME='a=b' # comment", 'a=b'],
    ['# PROJECT_NAME=x\r\n\r\nPROJECT_NAME=a\r\n', 'a'],
  ]
  for (const [dotEnv, wanted] of lines) {
    test(`.env: ${JSON.stringify(dotEnv)}`, async () => {
      assert.equal((await loadWell({ dotEnv })).projectName, wanted)
    })
  }
})

group('secrets', () => {
  test('a secret may come from a file, without its last newline', async () => {
    const config = await loadWell({ env: { SECRET_KEY_FILE: 'secret' }, secret: `${LONG}\n` })
    assert.equal(config.secretKey?.reveal(), LONG)
    assert.equal(config.sources['auth.secret_key'], 'environment (SECRET_KEY_FILE)')
  })

  test('no secret is in what is printed', async () => {
    const config = await loadWell({
      env: {
        SECRET_KEY: LONG,
        DATABASE_URL: 'postgresql://writ:hunter2@db/writ?password=hunter2',
        REDIS_URL: 'redis://:hunter2@r:6379',
        WRIT_ADMIN_PASSWORD: 'hunter2',
        API_TOKEN: 'hunter2-8c41f07be9',
        API_TOKENS: '{"hunter2-17d0e4a63b":"ops"}',
      },
    })
    const shown = describe(config)
    for (const output of [shown, inspect(config, { depth: 9 }), JSON.stringify(config)]) {
      assert.ok(!output.includes('hunter2') && !output.includes(LONG), output)
    }
    assert.match(
      shown,
      /^database\.url +postgres:\/\/writ:\[secret\]@db\/writ\?\[secret\] +environment \(DATABASE_URL\)$/m,
    )
    assert.match(shown, /^auth\.secret_key +\[secret\] +environment \(SECRET_KEY\)$/m)
    assert.match(shown, /^dispatch\.api_tokens +\[secret\]: ops +environment \(API_TOKENS\)$/m)
    assert.match(shown, /^port +8000 +default$/m)
  })
})

group('problems', () => {
  const cases: [string, Given, string[]][] = [
    [
      'a bad number',
      { env: { PORT: 'abc' } },
      ['PORT (environment): expected a whole number from 0 to 65535, found "abc"'],
    ],
    [
      'a bad value in writ.yaml',
      { yaml: 'port: 99999' },
      ['port (writ.yaml line 1): expected a whole number from 0 to 65535, found "99999"'],
    ],
    [
      'a short secret is not quoted',
      { env: { SECRET_KEY: 'short' } },
      ['SECRET_KEY (environment): expected at least 32 characters'],
    ],
    [
      'an unknown key',
      { yaml: 'artifacts:\n  pth: x' },
      ['artifacts.pth (writ.yaml line 2): no such setting; did you mean artifacts.path?'],
    ],
    [
      'an unknown variable',
      { env: { WRIT_DATADIR: 'x' } },
      ['WRIT_DATADIR (environment): no such setting; did you mean WRIT_DATA_DIR?'],
    ],
    ['an unknown variable in .env', { dotEnv: 'WRIT_QQQQQQQQ=1' }, ['WRIT_QQQQQQQQ (.env): no such setting']],
    ['an unknown flag', { argv: ['--prot', '1'] }, ['--prot: no such flag; did you mean --port?']],
    ['a flag without value', { argv: ['--port'] }, ['--port: expected a value']],
    [
      'a secret as a flag',
      { argv: ['--auth-secret-key', LONG] },
      ['--auth-secret-key: every user of this machine can read flags; use SECRET_KEY or SECRET_KEY_FILE'],
    ],
    ['a word that is no flag', { argv: ['serve'] }, ['serve: expected flags only, such as --port 8000']],
    [
      'a group where a value belongs',
      { yaml: 'port:\n  x: 1' },
      ['port (writ.yaml line 1): expected one value, found a group'],
    ],
    [
      'a value and a file',
      { env: { API_TOKEN: 'x', API_TOKEN_FILE: 'secret' } },
      ['API_TOKEN and API_TOKEN_FILE (environment): set one of them'],
    ],
    ['a bad line', { dotEnv: 'PORT=1\nwhat' }, ['.env line 2: expected NAME=value']],
    [
      'tokens that are none, without a word of them',
      {
        env: {
          API_TOKENS: '{"short":"dev","changeme-changeme-1":"dev","kq83hdn2-93hfyw5m":"banana"}',
          API_TOKEN: 'aaaaaaaaaaaaaaaaaaaa',
        },
      },
      [
        'API_TOKENS, token 1: a token needs at least 16 characters',
        'API_TOKENS, token 2: a token that can be guessed is no secret: take 32 random characters',
        'API_TOKENS, token 3: expected a role (public, trusted, dev, ops, admin), found "banana"',
        'API_TOKEN: a token that can be guessed is no secret: take 32 random characters',
      ],
    ],
    [
      'tokens of no kind are not quoted',
      { env: { API_TOKENS: '{"kq83hdn2-93hfyw5m":' } },
      ['API_TOKENS (environment): expected a JSON object of token to role, or tokens separated by commas'],
    ],
    [
      'an open address without a key',
      { env: { HOST: '0.0.0.0' } },
      [
        'SECRET_KEY: has to be set (at least 32 characters) because HOST is 0.0.0.0 (environment (HOST)) and others can reach it',
      ],
    ],
    [
      'an incomplete MinIO',
      { env: { ARTIFACT_STORAGE_TYPE: 'minio', MINIO_ENDPOINT: 'm:9000', MINIO_ACCESS_KEY: 'a' } },
      [
        'MINIO_SECRET_KEY: has to be set because ARTIFACT_STORAGE_TYPE is minio',
        'MINIO_BUCKET: has to be set because ARTIFACT_STORAGE_TYPE is minio',
      ],
    ],
    [
      'a migration URL beside SQLite',
      { env: { WRIT_MIGRATION_URL: 'postgres://o@db/w' } },
      ['WRIT_MIGRATION_URL: only for PostgreSQL, and DATABASE_URL names none'],
    ],
    [
      'a path of the host that is one of ours',
      { env: { WRIT_PUBLIC_URL: 'https://ops.example.com/app/writ' } },
      ['WRIT_PUBLIC_URL: its path begins with /app, where this server has pages of its own; choose another'],
    ],
    [
      'a path of the host that is that of the API',
      { env: { WRIT_PUBLIC_URL: 'https://ops.example.com/v2', API_V1_PREFIX: '/v2' } },
      ['WRIT_PUBLIC_URL: its path begins with /v2, where this server has pages of its own; choose another'],
    ],
    [
      'half of a key pair',
      { env: { ARTIFACT_STORAGE_TYPE: 's3', S3_BUCKET: 'b', S3_ACCESS_KEY: 'a' } },
      ['S3_ACCESS_KEY and S3_SECRET_KEY: set both or neither'],
    ],
    [
      'half of an identity provider, asked for nothing',
      { env: { WRIT_OIDC_ISSUER: 'https://login.example/', WRIT_OIDC_SCOPES: 'email' } },
      [
        'WRIT_OIDC_ISSUER and WRIT_OIDC_CLIENT_ID: set both or neither',
        'WRIT_OIDC_SCOPES: expected openid among them, found "email"',
      ],
    ],
    [
      'several at once, from everywhere',
      { argv: ['--nope', '1'], env: { PORT: '-1' }, dotEnv: 'LOG_FORMAT=xml', yaml: 'nope: 1' },
      [
        '--nope: no such flag',
        'nope (writ.yaml line 1): no such setting',
        'PORT (environment): expected a whole number from 0 to 65535, found "-1"',
        'LOG_FORMAT (.env): expected one of text, json, found "xml"',
      ],
    ],
  ]
  for (const [title, given, wanted] of cases) {
    test(title, async () => {
      assert.deepEqual((await load(given)).problems, wanted)
    })
  }

  const refused: [string, string][] = [
    ['WRIT_PUBLIC_URL', 'ops.example.com/writ'],
    ['WRIT_PUBLIC_URL', 'https://ops.example.com/writ?x'],
    ['WRIT_PUBLIC_URL', 'https://ops.example.com/a%20b'],
    ['DATABASE_URL', 'mysql://x/y'],
    ['DATABASE_URL', 'sqlite:///:memory:'],
    ['ALLOWED_IPS', '10.0.0.0/33'],
    ['ALLOWED_IPS', '1'],
    ['WRIT_TRUSTED_PROXIES', '*'],
    ['WRIT_CORS_ORIGINS', '*'],
    ['WRIT_CORS_ORIGINS', 'https://a.example/path'],
    ['WRIT_PUBLIC_URL', 'writ.example'],
    ['WRIT_OIDC_ISSUER', 'http://login.example'],
    ['WRIT_OIDC_ISSUER', 'https://login.example/?tenant=a'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.5'],
    ['OTEL_TRACES_SAMPLER_ARG', '5%'],
    ['WRIT_EGRESS_ALLOW', '10.0.0.300'],
    ['WRIT_EGRESS_ALLOW', '10.0.0.0/8@'],
    ['WRIT_EGRESS_ALLOW', '@netops'],
    ['WRIT_EGRESS_ALLOW', '10.0.0.0/8@netops@web'],
    ['API_V1_PREFIX', 'api'],
    ['ALGORITHM', 'none'],
    ['PORT', '1e3'],
    ['SERVER_RELOAD', 'maybe'],
    ['HOST', 'a b'],
    ['REDIS_URL', 'localhost:6379'],
    ['WRIT_MIGRATION_URL', 'sqlite:///x'],
  ]
  for (const [name, value] of refused) {
    test(`${name}=${value} is refused, by name`, async () => {
      const { problems = [] } = await load({ env: { [name]: value } })
      assert.equal(problems.length, 1)
      assert.ok(problems[0]?.startsWith(`${name} (environment): expected `), problems[0])
    })
  }

  test('writ.yaml that is no YAML is named', async () => {
    const { problems = [] } = await load({ yaml: '# mine\nport: 1\nhost: a\nport: 2' })
    assert.deepEqual(problems, ['writ.yaml line 4: Map keys must be unique'])
    assert.match((await load({ yaml: 'port: [1' })).problems?.[0] ?? '', /^writ\.yaml line 1: [^:]*$/)
  })

  test('what is wrong in writ.yaml is named with its line, in groups, lists and behind comments', async () => {
    const yaml = `# a comment
artifacts:
  # another

  path: /srv/evidence
  storage: tape
network: { allowed_ips: [10.0.0.1,
    nobody] }
"log.levle": debug
`
    const { problems = [] } = await load({ yaml })
    assert.deepEqual(
      problems.map((one) => one.replace(/:.*/, '')),
      [
        'log.levle (writ.yaml line 9)',
        'artifacts.storage (writ.yaml line 6)',
        'network.allowed_ips (writ.yaml line 7)',
      ],
    )
    // What an alias repeats is wrong where the alias stands.
    const twice = await load({ yaml: 'artifacts: &a\n  pth: x\nlog: *a\n' })
    assert.deepEqual(
      twice.problems?.map((one) => one.replace(/:.*/, '')),
      ['artifacts.pth (writ.yaml line 2)', 'log.pth (writ.yaml line 3)'],
    )
  })
})

test('loopback is 127.0.0.0/8, ::1 and localhost', () => {
  assert.deepEqual(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].map(isLoopback), [true, true, true, true])
  assert.deepEqual(['0.0.0.0', '::', '10.0.0.1', '127.example.org'].map(isLoopback), [false, false, false, false])
})

test('the shipped examples name every setting and load to the defaults', async () => {
  const all = [...Object.values(settings), ...Object.values(dispatchSettings)]
  const dotEnv = await fs.readFile(path.join(root, '.env.example'), 'utf8')
  const yaml = await fs.readFile(path.join(root, 'writ.example.yaml'), 'utf8')
  for (const setting of all) {
    assert.match(dotEnv, new RegExp(`^${setting.env[0]}=`, 'm'))
    assert.match(yaml, new RegExp(`^ *(# )?${setting.key.split('.').at(-1)}:`, 'm'))
    for (const text of [dotEnv, yaml]) {
      const comments = text.replaceAll(/^ *# ?/gm, '').replaceAll('\n', ' ')
      assert.ok(comments.includes(`${setting.description} Expected: ${setting.kind.expected}.`), setting.key)
    }
  }
  const values = (config: Config) => describe(config).replaceAll(/ +(default|\.env \(\w+\)|writ\.yaml)$/gm, '')
  const defaults = values(await loadWell({}))
  assert.equal(values(await loadWell({ dotEnv })), defaults)
  assert.equal(values(await loadWell({ yaml })), defaults)
})
