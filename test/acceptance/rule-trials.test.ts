// Rules are tried on files before they are published: the verdict of a run, without a run.
import assert from 'node:assert/strict'
import type { RuleTrial } from '@writ/api'
import type { TestSystem } from '../test-system.ts'
import { holds, ok, refused } from '../verifies.ts'

const switchText = '#\nsysname SW-1\n#\ninterface GigabitEthernet0/0/1\n description 办公区\n#\nreturn\n'
const rules = { rules: [{ validator: 'fields@5', params: { lines: { required: ['sysname SW-[0-9]'] } } }] }
const file = (name: string, text: string, more: object = {}) => ({
  name,
  content: Buffer.from(text).toString('base64'),
  ...more,
})
const attempt = (sys: TestSystem, definition: object, files: object[]) =>
  sys.employee.post<RuleTrial>('/rule-sets/try', { definition, files })

holds('rules are tried on files, and nothing is left of it', async (sys) => {
  const events = async () => ok(await sys.admin.get<unknown[]>(`/audit/events?actor_id=${sys.employee.id}`)).length
  ok(await sys.employee.get('/scripts'))
  const before = await events()
  const passed = ok(await attempt(sys, rules, [file('sw1.cfg', switchText)]))
  assert.deepEqual([passed.verdict, passed.result_summary], ['passed', 'Validation passed: 1 artifact(s) checked'])
  const failed = ok(await attempt(sys, rules, [file('sw1.cfg', switchText), file('sw2.cfg', 'sysname R1\n#\n#\n')]))
  const report = failed.validation_report as { validation_results: { filename: string; error?: string }[] }
  assert.equal(failed.verdict, 'failed')
  assert.deepEqual(
    report.validation_results.map(({ filename, error }) => [filename, error]),
    [
      ['sw1.cfg', undefined],
      ['sw2.cfg', 'Missing required line: sysname SW-[0-9]'],
    ],
  )
  assert.ok(!('run_id' in failed.validation_report))
  assert.deepEqual(ok(await sys.admin.get('/rule-sets')), [])
  assert.equal(await events(), before)
})

holds('a trial tells apart what was before and after, and reads the encoding that a rule names', async (sys) => {
  const changes = { rules: [{ validator: 'config_diff@4', params: { allowed: [{ path: 'vlan .+' }] } }] }
  const trial = ok(
    await attempt(sys, changes, [
      file('old.cfg', switchText, { role: 'before' }),
      file('new.cfg', switchText.replace('办公区', '机房'), { role: 'after' }),
    ]),
  )
  assert.equal(trial.verdict, 'failed')
  const encoded = { rules: [{ validator: 'config_format@4', params: { encoding: 'gb18030', formats: ['vrp'] } }] }
  // 办公区 in GB 18030.
  const bytes = Buffer.concat([Buffer.from('#\nsysname '), Buffer.from('b0ecb9abc7f8', 'hex'), Buffer.from('\n#\n')])
  const read = ok(await attempt(sys, encoded, [{ name: 'sw1.cfg', content: bytes.toString('base64') }]))
  assert.equal(read.verdict, 'passed')
})

holds('a trial is refused with the place of what is wrong', async (sys) => {
  const wrong = { rules: [{ validator: 'fields@5', params: { lines: { required: ['('] } } }] }
  const answer = await attempt(sys, wrong, [file('a.cfg', 'x')])
  refused(answer, 422, 'RULE_SET_INVALID')
  assert.match(JSON.stringify(answer.body), /body\.definition\.rules\.0\.params\.lines\.required\.0/)
  refused(await attempt(sys, rules, [{ name: 'a.cfg', content: 'no base64!' }]), 422, 'VALIDATION_FAILED')
  refused(await attempt(sys, rules, []), 422, 'VALIDATION_FAILED')
})

holds('more trials than a server judges at a time are told to come again', async (sys) => {
  const lines = (word: string) => Array.from({ length: 3_000 }, (_, n) => `${word} ${n}`).join('\n')
  const slow = { rules: Array.from({ length: 2 }, () => ({ validator: 'config_diff@4', params: {} })) }
  const files = [file('a.txt', lines('alpha'), { role: 'before' }), file('b.txt', lines('beta'), { role: 'after' })]
  const answers = await Promise.all(Array.from({ length: 6 }, () => attempt(sys, slow, files)))
  const busy = answers.filter(({ status }) => status === 503)
  assert.ok(busy.length > 0 && busy.length < 6, `${busy.length} of 6`)
  for (const answer of busy) refused(answer, 503, 'TRIALS_TOO_MANY')
  assert.ok(answers.every(({ status }) => status === 503 || status === 200))
})

holds('a schema that branches without bound is told to be too much, and the server goes on', async (sys) => {
  const twice = (n: number) => ({ anyOf: [{ $ref: `#/$defs/n${n}` }, { $ref: `#/$defs/n${n}` }] })
  const branches = Array.from({ length: 39 }, (_, n) => [`n${n + 1}`, twice(n)])
  const schema = { $defs: { n0: { type: 'integer' }, ...Object.fromEntries(branches) }, $ref: '#/$defs/n39' }
  const answer = await attempt(sys, { rules: [{ validator: 'json_schema@2', params: { schema } }] }, [
    file('a.json', '"x"'),
  ])
  refused(answer, 422, 'TRIAL_TOO_MUCH')
  assert.equal(ok(await attempt(sys, rules, [file('sw1.cfg', switchText)])).verdict, 'passed')
})

holds(
  'rules say which of their checks have a newer version, and go on judging by the one that they cite',
  async (sys) => {
    const publish = (validator: string) => sys.admin.post('/rule-sets', { name: 'lines', definition: ruled(validator) })
    const ruled = (validator: string) => ({ rules: [{ ...rules.rules[0], validator }, { validator: 'size@1' }] })
    const superseded = [{ validator: 'fields@3', newest: 'fields@5' }]
    assert.deepEqual(ok(await publish('fields@3'), 201).superseded, superseded)
    const script = async () => {
      const all = ok(await sys.employee.get<{ script_id: string; superseded: unknown }[]>('/scripts'))
      return all.find(({ script_id }) => script_id === 'rules.lines')?.superseded
    }
    assert.deepEqual(await script(), superseded)
    assert.deepEqual(ok(await publish('fields@5'), 201).superseded, [])
    assert.deepEqual(await script(), [])
    const listed = ok(await sys.employee.get<{ version: number; superseded: unknown }[]>('/rule-sets'))
    assert.deepEqual(
      listed.map((one) => [one.version, one.superseded]),
      [
        [2, []],
        [1, superseded],
      ],
    )
  },
)
