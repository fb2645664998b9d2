import assert from 'node:assert/strict'
import type { Asset } from '@writ/api'
import { ok, refused, verifies } from '../verifies.ts'

verifies('T17', 'an asset is created once per serial number', async ({ employee, bob }) => {
  const made = ok(
    await employee.post<Asset>('/assets', { name: 'n', asset_type: 'server', serial_number: 'SW-001-2024' }),
  )
  assert.deepEqual(
    { number: made.number, name: made.name, type: made.asset_type, by: made.created_by_number },
    { number: 1, name: 'n', type: 'server', by: employee.number },
  )
  const again = await bob.post('/assets', { name: 'm', asset_type: 'server', serial_number: 'SW-001-2024' })
  refused(again, 400, 'SERIAL_TAKEN', 'Asset with this serial number already exists')
  ok(await employee.post('/assets', { name: 'no serial', asset_type: 'server' }))
  ok(await employee.post('/assets', { name: 'no serial either', asset_type: 'server' }))
})

verifies('T18', 'assets are filtered, limited and looked up by id and number', async ({ admin, employee }) => {
  for (const asset_type of ['switch', 'router', 'router'])
    ok(await admin.post('/assets', { name: asset_type, asset_type }))
  const listed = ok(await employee.get<Asset[]>('/assets?asset_type=router&limit=1'))
  assert.deepEqual(
    listed.map((one) => [one.number, one.asset_type]),
    [[2, 'router']],
  )
  assert.equal(ok(await employee.get<Asset>(`/assets/${listed[0]!.id}`)).number, 2)
  assert.equal(ok(await employee.get<Asset>('/assets/3')).number, 3)
  refused(await employee.get('/assets/999'), 404, 'ASSET_NOT_FOUND', 'Asset not found')
  refused(await employee.get('/assets/abc'), 422, 'VALIDATION_FAILED')
  refused(await employee.get('/assets?limit=-1'), 422, 'VALIDATION_FAILED')
})

verifies('T19', 'the creator edits an asset, others do not, and a taken serial number is refused', async (sys) => {
  const { admin, employee, bob } = sys
  ok(await bob.post('/assets', { name: 'taken', asset_type: 'switch', serial_number: 'RT-001-2024' }))
  ok(await employee.post('/assets', { name: 'mine', asset_type: 'switch', serial_number: 'SW-FAC-001' }))
  refused(
    await bob.patch('/assets/2', { location: 'x' }),
    403,
    'ASSET_UPDATE_DENIED',
    'Not authorized to update this asset',
  )
  assert.equal(ok(await employee.patch<Asset>('/assets/2', { location: '机柜 4' })).location, '机柜 4')
  assert.equal(ok(await admin.patch<Asset>('/assets/2', { name: 'renamed' })).name, 'renamed')
  refused(await employee.patch('/assets/2', { serial_number: 'RT-001-2024' }), 400, 'SERIAL_TAKEN')
  refused(await employee.patch('/assets/2', { name: null }), 422, 'VALIDATION_FAILED')
  assert.equal(ok(await employee.get<Asset>('/assets/2')).serial_number, 'SW-FAC-001')
})
