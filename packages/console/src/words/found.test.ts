import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseToml } from '../../../server/src/kinds/proof/formats/toml.ts'
import { parseXml } from '../../../server/src/kinds/proof/formats/xml.ts'
import { parseYaml } from '../../../server/src/kinds/proof/formats/yaml.ts'
import { examineRuleSet } from '../../../server/src/kinds/proof/rule-set.ts'
import { inWords } from './found.ts'
import { foundZhCn } from './found-zh-cn.ts'

const corpus = join(import.meta.dirname, '../../../server/src/kinds/proof/corpus')
const say = (text: string) => inWords(text, foundZhCn)

/** Every sentence that a check says of the files of the corpus. */
async function allSaid(): Promise<ReadonlySet<string>> {
  const pins = (await readdir(corpus, { recursive: true })).filter((name) => name.endsWith('.expected.json'))
  const found = await Promise.all(
    pins.map(async (name) => JSON.parse(await readFile(join(corpus, name), 'utf8')) as Found),
  )
  return new Set(found.flatMap(({ errors, warnings }) => [...errors, ...warnings]))
}
interface Found {
  readonly errors: readonly string[]
  readonly warnings: readonly string[]
}

test('whatever a check says of the files of the corpus is said in Chinese, with every number in it', async () => {
  const all = await allSaid()
  assert.ok(all.size > 100)
  for (const text of all) {
    const said = say(text)
    assert.match(said, /\p{Script=Han}/u, text)
    assert.deepEqual((said.match(/\d+/g) ?? []).toSorted(), (text.match(/\d+/g) ?? []).toSorted(), `${text}: ${said}`)
  }
})

for (const [text, said] of [
  ['Missing required field: vlans[*].id (at /vlans/3/id)', '缺少必填字段：vlans[*].id（位于 /vlans/3/id）'],
  [
    'Forbidden line 7: telnet (a|b) in block at line 5 (line vty .+)',
    '第 5 行的块（line vty .+）中存在禁止的行（第 7 行）：telnet (a|b)',
  ],
  ['Invalid IOS configuration: line 4: prompt of a terminal', 'IOS 配置无效：第 4 行：终端的命令提示符'],
  [
    "Invalid JSON: Expecting ':' delimiter: line 1 column 8 (char 7)",
    'JSON 无效：此处应为分隔符“:”（第 1 行第 8 列，偏移 7）',
  ],
  ['after.json: Unknown config format for file: after.json', 'after.json：无法识别文件的配置格式：after.json'],
  ['size@1 was not applied: cannot read sw1.cfg', '未应用 size@1：无法读取 sw1.cfg'],
  ['Verdict was passed, is failed', '判定原为通过，现为未通过'],
  ['core switch.cfg: was passed, is failed', 'core switch.cfg：原为通过，现为未通过'],
  ['a.json: config_format@4 finds something else', 'a.json：config_format@4 的发现不同'],
  ['yaml was 2.0.0, is not used', 'yaml 原为 2.0.0，现为 未使用'],
  ['b.json was added', '新增了 b.json'],
  ['Invalid XML: something that a library says', 'XML 无效：something that a library says'],
  ["Invalid XML: Attribute 'b' is without value at line 12", 'XML 无效：属性“b”的值必须加引号（第 12 行）'],
] as const)
  test(`"${text}" in Chinese`, () => assert.equal(say(text), said))

/** Slips of people, of which each makes the parser say something else. */
const slips = {
  XML: [
    ...['<a', '</a>', '<a b>x</a>', '<a b=1>x</a>', '<a b="1" b="2"/>', '<a b="1"c="2"/>', '<a/><b/>', 'text'],
    ...['<a>&</a>', '<1a/>', '<a></a b>', ' <?xml version="1.0"?><a/>', '<a b="x/>', '<a>&x;</a>', '<a><b></a></b>'],
    ...['', '<a>x</a >y'],
  ],
  TOML: [
    ...['a', 'a =', 'a = 1\na = 2', 'a = "x', 'a = [1', 'a = {b=1', 'a = 1 2', 'a = 2020-13-01', 'a = 0x', 'a = 01'],
    ...['[a', 'a = "\\x"', 'a = "\n"', '= 1', 'a = 1__0', 'a = "\u0001"', 'a b = 1', 'a = 1 # \u0000'],
  ],
  YAML: [
    ...['a: [1', 'a: {b', 'a: b: c', '- a\nb: c', 'a: "x', "a: 'x", 'a:\n\t- b', '*x', 'a: 1\na: 2', '@x', 'a: "\\q"'],
    ...['a\nb: c', '{a: 1', '[a,,b]', 'a: |x\n y', 'a:\n  - 1\n - 2', 'a: 1\nb', 'a: [b]]', '[a: b: c]', 'a: `x`'],
  ],
}
const parsers = {
  XML: parseXml,
  TOML: (text: string) => parseToml(text, true),
  YAML: (text: string) => parseYaml(text, true),
}

for (const format of ['XML', 'TOML', 'YAML'] as const)
  test(`what is wrong with ${format} that people write is said in Chinese`, () => {
    for (const text of slips[format]) {
      const parsed: object = parsers[format](text)
      // Of YAML more than one may be wrong.
      const { error, errors = [error] } = parsed as { error?: string; errors?: readonly string[] }
      assert.ok(errors.length > 0, text)
      for (const one of errors) {
        const said = say(`Invalid ${format}: ${one}`)
        assert.match(said, /^\w+ 无效：/)
        assert.doesNotMatch(said, /[A-Za-z]{2,} [a-z]{2,}/, text)
        assert.deepEqual((said.match(/\d+/g) ?? []).toSorted(), (one?.match(/\d+/g) ?? []).toSorted(), said)
      }
    }
  })

for (const rule of [
  { validator: 'size@9' },
  { validator: 'size@1', files: '*a*a*a*a*a*' },
  { validator: 'size@1', files: '+(a|aa)' },
  { validator: 'size@1', params: { min_bytes: 2, max_bytes: 1 } },
  { validator: 'size@1', params: { bytes: 1 } },
  { validator: 'fields@5', params: {} },
  { validator: 'fields@5', params: { required: ['[['] } },
  { validator: 'fields@5', params: { lines: { required: ['('] } } },
  { validator: 'json_schema@2', params: { schema: { type: 'text' } } },
  { validator: 'json_schema@1', params: { schema: { pattern: '^a' } } },
])
  test(`why ${JSON.stringify(rule)} is refused is said in Chinese`, () => {
    const examined = examineRuleSet({ name: 'x', version: '1.0.0', rules: [rule] })
    assert.ok(!examined.ok)
    for (const { message } of examined.problems) assert.match(say(message), /\p{Script=Han}/u, message)
  })

test('what no check says stays as it is', () => {
  for (const text of ['', 'constructor', 'A sentence of tomorrow', '安装工厂交换机']) assert.equal(say(text), text)
})

test('a file name that looks like a sentence or a group of a pattern stays a name', () => {
  assert.equal(say('File is empty: $1 Nothing changed'), '文件为空：$1 Nothing changed')
})

test('a text without an end is no sentence', () => {
  const long = `Forbidden line 1: ${'in block at line 1 ('.repeat(5_000)}`
  assert.equal(say(long), long)
})
