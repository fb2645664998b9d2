import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from 'typebox'
import { requireSchemas } from './contract.ts'

const require = (input: object) => requireSchemas({ name: 'vlan.add', input, output: null })

test('a schema that refers to what it has not is none', () => {
  for (const $ref of ['#/$defs/Prot', '#prot', 'https://example.com/port.json', 'port.json#/$defs/Port'])
    assert.throws(() => require({ properties: { port: { $ref } }, $defs: { Port: { type: 'integer' } } }), {
      message: `handler vlan.add: the schema of its input is none: $ref ${$ref} is not in it`,
    })
})

test('a schema may refer to itself, to a part, to an anchor and to what has an $id', () => {
  require({ properties: { next: { $ref: '#' } } })
  require({ properties: { port: { $ref: '#/$defs/a%20port~1vlan' } }, $defs: { 'a port/vlan': { type: 'integer' } } })
  require({ properties: { port: { $ref: '#port' } }, $defs: { Port: { $anchor: 'port', type: 'integer' } } })
  require({
    $id: 'https://example.com/switch.json',
    properties: { port: { $ref: 'port.json' }, rack: { $ref: 'https://example.com/port.json#/$defs/rack' } },
    $defs: { Port: { $id: 'port.json', $ref: '#/$defs/rack', $defs: { rack: { type: 'integer' } } } },
  })
  require(Type.Cyclic({ Rack: Type.Object({ next: Type.Optional(Type.Ref('Rack')) }) }, 'Rack'))
  require({ const: { $ref: '#/nowhere' } })
})
