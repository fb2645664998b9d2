import type { Asset, CreateAsset, UpdateAsset } from '@writ/api'
import type { Static } from 'typebox'
import { append } from '../audit/index.ts'
import { type Caller, personOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import { type Tx, takeNumbers, UniqueViolation } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { versionOf } from '../platform/json.ts'
import { type AssetRow, findAsset, insertAsset, lockAsset, type Ref, updateAsset } from './store.ts'

export const showAsset = (row: AssetRow): Asset => ({
  id: row.id,
  number: row.number,
  name: row.name,
  asset_type: row.asset_type,
  serial_number: row.serial_number,
  location: row.location,
  description: row.description,
  created_by_id: row.created_by_id,
  created_by_number: row.created_by_number,
  created_at: rfc3339(row.created_at),
  updated_at: rfc3339(row.updated_at),
})

const serialTaken = (error: unknown) => {
  throw error instanceof UniqueViolation && error.index.includes('serial_number')
    ? new AppError('SERIAL_TAKEN', {}, { cause: error })
    : error
}

/** Adds a device or service. Throws SERIAL_TAKEN. */
export async function addAsset(tx: Tx, caller: Caller, body: Static<typeof CreateAsset>): Promise<Asset> {
  const id = uuidv7(caller.at)
  const number = await takeNumbers(tx, 'assets', 1)
  await insertAsset(tx, {
    id,
    number,
    name: body.name,
    asset_type: body.asset_type,
    serial_number: body.serial_number ?? null,
    location: body.location ?? null,
    description: body.description ?? null,
    created_by_id: personOf(caller),
    created_at: caller.at,
    updated_at: caller.at,
  }).catch(serialTaken)
  await append(tx, caller.at, caller, {
    type: 'asset.created',
    resource: { type: 'asset', id, number },
    action: `Created asset: ${body.name}`,
    details: { asset_type: body.asset_type, serial_number: body.serial_number ?? null },
  })
  return showAsset((await findAsset(tx, id))!)
}

/** What of an asset can be changed, as one short text: another one, another asset. */
export const assetVersion = (row: AssetRow): string =>
  versionOf(row.name, row.asset_type, row.serial_number, row.location, row.description)

/**
 * Changes the given fields. By the creator or an admin; throws ASSET_NOT_FOUND, ASSET_UPDATE_DENIED, SERIAL_TAKEN.
 * @param mustMatch throws if the caller knows another version than this one
 */
export async function editAsset(
  tx: Tx,
  caller: Caller,
  ref: Ref,
  body: Static<typeof UpdateAsset>,
  mustMatch: (version: string) => void,
): Promise<AssetRow> {
  const before = await lockAsset(tx, ref)
  if (!before) throw new AppError('ASSET_NOT_FOUND')
  mustMatch(assetVersion(before))
  if (before.created_by_id !== personOf(caller) && caller.role !== 'admin') throw new AppError('ASSET_UPDATE_DENIED')
  const changed = changesOf(before, body)
  if (changed.length > 0) await updateAsset(tx, before.id, { ...body, updated_at: caller.at }).catch(serialTaken)
  await append(tx, caller.at, caller, {
    type: 'asset.updated',
    resource: { type: 'asset', id: before.id, number: before.number },
    action: `Updated asset: ${body.name ?? before.name}`,
    details: { updated_fields: changed.map((one) => one.field), changes: changed },
  })
  return (await findAsset(tx, before.id))!
}

/** Old and new value of each field that the body really changes. */
export function changesOf(before: object, body: object): { field: string; from: unknown; to: unknown }[] {
  const old = before as Record<string, unknown>
  return Object.entries(body)
    .filter(([field, to]) => to !== undefined && old[field] !== to)
    .map(([field, to]) => ({ field, from: old[field] ?? null, to }))
}
