import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { bytesEvidence } from './bytes-evidence.ts'
import { parseYaml } from './formats/yaml.ts'
import { judge } from './judge.ts'
import type { Problem } from './problem.ts'
import { findValidator, listValidators } from './registry.ts'
import { appliesTo, examineRuleSet, type Rule, ruleSetDigest } from './rule-set.ts'
import { findScript, listScripts, scriptRuleSet } from './scripts.ts'
import { citation } from './validator.ts'

function problemsOf(...rules: unknown[]) {
  const examined = examineRuleSet({ name: 'x', version: '1.0.0', rules })
  return examined.ok ? [] : examined.problems.map(({ path, code }) => `${code} ${path}`)
}

const refusals: [string, unknown, string[]][] = [
  ['an unknown validator', { validator: 'nonsense@1' }, ['VALIDATOR_UNKNOWN /rules/0/validator']],
  ['an unpublished version', { validator: 'fields@9' }, ['VALIDATOR_UNKNOWN /rules/0/validator']],
  [
    'a parameter of the wrong type',
    { validator: 'size@1', params: { max_bytes: 'big' } },
    ['PARAMS_INVALID /rules/0/params/max_bytes'],
  ],
  ['an unknown parameter', { validator: 'size@1', params: { maximum: 1 } }, ['PARAMS_INVALID /rules/0/params']],
  [
    'bounds that cross',
    { validator: 'size@1', params: { min_bytes: 2, max_bytes: 1 } },
    ['PARAMS_INVALID /rules/0/params/min_bytes'],
  ],
  [
    'a broken pattern',
    { validator: 'fields@1', params: { lines: { required: ['ok', '('] } } },
    ['REGEX_INVALID /rules/0/params/lines/required/1'],
  ],
  [
    'a look-ahead',
    { validator: 'fields@1', params: { blocks: [{ block: '(?=a)' }] } },
    ['REGEX_INVALID /rules/0/params/blocks/0/block'],
  ],
  [
    'a pattern that explodes',
    { validator: 'config_diff@1', params: { allowed: [{ path: '(?:(?:x{0,30}){0,30})' }] } },
    ['REGEX_INVALID /rules/0/params/allowed/0/path'],
  ],
  [
    'a broken path',
    { validator: 'fields@1', params: { required: ['a[b'] } },
    ['PARAMS_INVALID /rules/0/params/required/0'],
  ],
  ['rules that ask for nothing', { validator: 'fields@1' }, ['NOTHING_TO_CHECK /rules/0/params']],
  [
    'a broken schema',
    { validator: 'json_schema@1', params: { schema: { type: 'strnig' } } },
    ['SCHEMA_INVALID /rules/0/params/schema'],
  ],
  [
    'a schema elsewhere',
    { validator: 'json_schema@1', params: { schema: { $ref: 'https://example.org/s' } } },
    ['SCHEMA_INVALID /rules/0/params/schema'],
  ],
  [
    'a schema pattern with a look-ahead',
    { validator: 'json_schema@2', params: { schema: { type: 'string', pattern: '(?=a)' } } },
    ['SCHEMA_INVALID /rules/0/params/schema'],
  ],
  ['a glob that backtracks', { validator: 'size@1', files: '*a*a*a*a*a*' }, ['GLOB_INVALID /rules/0/files']],
  ['an extended glob', { validator: 'size@1', files: '+(a|aa)' }, ['GLOB_INVALID /rules/0/files']],
]
for (const [what, rule, expected] of refusals) {
  test(`${what} is refused at definition`, () => assert.deepEqual(problemsOf(rule), expected))
}

test('anything that is no rule set is refused with a path', () => {
  for (const value of [null, 'x', [], {}, { name: 'UPPER', version: '1', rules: {} }])
    assert.equal(examineRuleSet(value).ok, false)
  const examined = examineRuleSet({ name: 'x', version: '1', rules: [] })
  assert.deepEqual(examined.ok || examined.problems.map(({ path }) => path), ['/version'])
  const empty = examineRuleSet({ name: 'x', version: '1.0.0', rules: [] })
  assert.deepEqual(empty.ok || empty.problems.map(({ code }) => code), ['NOTHING_TO_CHECK'])
})

test('equal rule sets have one digest, whatever the order of keys', () => {
  const one = ruleSetDigest({
    name: 'x',
    version: '1.0.0',
    rules: [{ validator: 'size@1', params: { min_bytes: 1, max_bytes: 2 } }],
  })
  const other = ruleSetDigest({
    rules: [{ params: { max_bytes: 2, min_bytes: 1 }, validator: 'size@1' }],
    version: '1.0.0',
    name: 'x',
  })
  assert.equal(one, '06cc94921724fb32658dcdb5a6d6ab48c5075383cc29a121dcab1206b03b450e')
  assert.equal(one, other)
})

test('globs match file names without regard to case', () => {
  const rule = (files?: string): Rule => ({ validator: 'size@1', files })
  assert.equal(appliesTo(rule(), 'anything'), true)
  assert.equal(appliesTo(rule('*.cfg'), 'SW-1.CFG'), true)
  assert.equal(appliesTo(rule('*.{yml,yaml}'), 'plan.yaml'), true)
  assert.equal(appliesTo(rule('*.cfg'), 'sw.json'), false)
})

test('a validator that does not do what its parameters ask for is not begun with', () => {
  const cited = (validator: string, schema: object) =>
    examineRuleSet({ name: 'r', version: '1.0.0', rules: [{ validator, params: { schema } }] })
  const patterned = { properties: { hostname: { pattern: '^SW-' } } }
  assert.deepEqual(cited('json_schema@1', patterned), {
    ok: false,
    problems: [
      {
        path: '/rules/0/validator',
        message: 'json_schema@1 does not apply the patterns of a schema: cite json_schema@2',
        code: 'VALIDATOR_RETIRED',
      },
    ],
  })
  assert.equal(cited('json_schema@1', { required: ['hostname'] }).ok, true)
  assert.equal(cited('json_schema@2', patterned).ok, true)
  const { problems } = cited('json_schema@2', { $schema: 'http://json-schema.org/draft-04/schema#' }) as {
    problems?: Problem[]
  }
  assert.match(problems![0]!.message, /its \$schema is none of the drafts 2020-12, 2019-09 and 07$/)
})

test('validators are found under their frozen names only', () => {
  assert.deepEqual(listValidators().map(citation), [
    'file_hash@1',
    'config_format@1',
    'config_format@2',
    'config_format@3',
    'config_format@4',
    'fields@1',
    'fields@2',
    'fields@3',
    'fields@4',
    'fields@5',
    'json_schema@1',
    'json_schema@2',
    'json_schema@3',
    'size@1',
    'image@1',
    'config_diff@1',
    'config_diff@2',
    'config_diff@3',
    'config_diff@4',
  ])
  assert.equal(findValidator('config_format@1')?.name, 'config_format')
  assert.equal(findValidator('config_format'), undefined)
  assert.equal(findValidator('constructor'), undefined)
})

test('the built-in scripts have the documented names, and each is a rule set', () => {
  assert.deepEqual(
    listScripts().map(({ id, name, version }) => `${id} ${name} ${version}`),
    [
      'proof.file_hash File Hash Validator 1.0.0',
      'proof.config_format Config Format Validator 1.0.0',
      'proof.fields Fields Validator 1.0.0',
      'proof.json_schema JSON Schema Validator 1.0.0',
      'proof.size Size Validator 1.0.0',
      'proof.image Image Validator 1.0.0',
      'proof.config_diff Config Diff Validator 1.0.0',
    ],
  )
  assert.equal(findScript('proof.nonsense'), undefined)
  const given: Record<string, unknown> = {
    'proof.fields': { required: ['a'] },
    'proof.json_schema': { schema: { type: 'object' } },
  }
  for (const script of listScripts()) assert.ok(scriptRuleSet(script, { params: given[script.id] ?? {} }).ok, script.id)
})

test('a script that needs parameters says so, with a path into the context', () => {
  const fields = findScript('proof.fields') ?? assert.fail()
  const examined = scriptRuleSet(fields, null)
  assert.deepEqual(examined.ok || examined.problems.map(({ path, code }) => ({ path, code })), [
    { path: '/params', code: 'NOTHING_TO_CHECK' },
  ])
})

const examples = join(import.meta.dirname, '../../../../../examples')

for (const [file, verdict] of [
  ['access-switch.cfg', 'passed'],
  ['after.cfg', 'passed'],
  ['broken-switch.json', 'failed'],
] as const) {
  test(`the example rule set says ${verdict} of ${file}`, async () => {
    const yaml = parseYaml(await readFile(join(examples, 'rule-sets/access-switch.yaml'), 'utf8'), false)
    if ('error' in yaml) assert.fail(yaml.error)
    const examined = examineRuleSet(yaml.data)
    if (!examined.ok) assert.fail(JSON.stringify(examined.problems))
    const evidence = [{ ...bytesEvidence(file, await readFile(join(examples, file))), id: 'a', number: 1 }]
    const judgement = await judge({
      runId: 'r',
      runNumber: 1,
      ticketNumber: 1,
      script: null,
      ruleSet: examined.ruleSet,
      evidence,
      context: null,
      now: 0,
    })
    assert.equal(judgement.verdict, verdict)
  })
}
