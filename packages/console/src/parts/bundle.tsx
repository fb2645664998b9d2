import { Button, Checkbox, FileButton, Textarea, TextInput } from '@mantine/core'
import type { BundleCheck, BundleReport, BundleTrust } from '@writ/tlog'
import { useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { bytes } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { useAction } from './ask.tsx'
import { Mono } from './bits.tsx'
import { checkText, reasonText } from './bundle-words.ts'
import { Icon } from './icons.tsx'
import { plainText } from './plain-text.ts'
import { saveAs } from './preview.tsx'
import { Refusal } from './states.tsx'

type Zip = Uint8Array<ArrayBuffer>

/** More is not unpacked in a page's memory; `writ verify` reads any size. */
const MAX_BYTES = 200_000_000

/** What a reader typed of what they have from elsewhere. */
interface Known {
  readonly fingerprint: string
  readonly vkeys: string
  readonly policy: string
}
const NOTHING: Known = { fingerprint: '', vkeys: '', policy: '' }

/** Throws what the policy is refused for. */
async function trustOf(known: Known): Promise<BundleTrust> {
  const [{ parsePolicy }, { primitives }] = await Promise.all([import('@writ/tlog'), import('../proof/primitives.ts')])
  const fingerprint = known.fingerprint.trim()
  const vkeys = known.vkeys.split(/\s+/).filter((vkey) => vkey !== '')
  return {
    ...(fingerprint === '' ? {} : { fingerprint }),
    ...(vkeys.length === 0 ? {} : { vkeys }),
    ...(known.policy.trim() === '' ? {} : { policy: parsePolicy(known.policy, primitives.sha256) }),
  }
}

/** Verifies a bundle as a stranger would: only its own bytes and what the reader knows, no server. */
async function verifyZip(zip: Zip, trust: BundleTrust = {}): Promise<BundleReport> {
  const [{ unzipSync }, { checkZip, verifyBundle, toHex }, { primitives }] = await Promise.all([
    import('fflate'),
    import('@writ/tlog'),
    import('../proof/primitives.ts'),
  ])
  await checkZip({ size: zip.length, read: async (from, length) => zip.subarray(from, from + length) })
  const files = unzipSync(zip)
  const names = Object.keys(files).filter((name) => !name.endsWith('/'))
  const read = async (name: string) => files[name]!
  const sha256 = async (name: string) => toHex(primitives.sha256(await read(name)))
  return verifyBundle({ names, read, sha256 }, primitives, trust)
}

/**
 * The bundle of a ticket or run: fetched, verified in this page, and handed over to be verified anywhere else. A task, which is a run too,
 * has no files that could hold secrets.
 */
export function Bundle({
  subject,
  number,
  hasFiles = true,
}: {
  subject: 'ticket' | 'run'
  number: number
  hasFiles?: boolean
}) {
  const { client, can } = useSession()
  const { t } = useTranslation()
  const [zip, setZip] = useState<{ data: Zip; name: string } | null>(null)
  const [report, setReport] = useState<BundleReport | null>(null)
  const [flagged, setFlagged] = useState(false)
  const [whole, setWhole] = useState(false)
  const action = useAction()
  if (!can('evidence.export')) return <p className="dimmed small">{t('bundle.denied')}</p>
  const fetchIt = () =>
    action.run(async () => {
      const answer = await client.evidence.export({
        body: {
          subject,
          id: number,
          ...(flagged ? { include_flagged: true } : {}),
          ...(whole ? { whole_log: true } : {}),
        },
      })
      const data = new Uint8Array(
        await new Response(answer.stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
      )
      setZip({ data, name: answer.name ?? `evidence-${subject}-${number}.zip` })
      setReport(data.length > MAX_BYTES ? null : await verifyZip(data))
    })
  return (
    <div className="bundle">
      <p className="small dimmed">{t('bundle.text')}</p>
      {hasFiles && (
        <Checkbox
          size="xs"
          label={t('bundle.flagged')}
          checked={flagged}
          onChange={(event) => setFlagged(event.currentTarget.checked)}
          mb="xs"
        />
      )}
      <Checkbox
        size="xs"
        label={t('bundle.whole')}
        checked={whole}
        onChange={(event) => setWhole(event.currentTarget.checked)}
        mb="xs"
      />
      <div className="form-buttons">
        <Button onClick={() => void fetchIt()} loading={action.busy} leftSection={<Icon name="audit" size={14} />}>
          {t('bundle.make')}
        </Button>
        {zip && (
          <Button
            variant="default"
            leftSection={<Icon name="download" size={14} />}
            onClick={() => saveAs(zip.data, zip.name, 'application/zip')}
          >
            {t('bundle.save', { size: bytes(zip.data.length) })}
          </Button>
        )}
      </div>
      <Refusal error={action.error} />
      {zip && zip.data.length > MAX_BYTES && <p className="small">{t('bundle.large')}</p>}
      {report && <Report report={report} />}
    </div>
  )
}

/** A bundle from anywhere, verified here. */
export function VerifyFile() {
  const { t } = useTranslation()
  const [report, setReport] = useState<BundleReport | null>(null)
  const [name, setName] = useState('')
  const [known, setKnown] = useState(NOTHING)
  const [badPolicy, setBadPolicy] = useState('')
  const [isOpen, setOpen] = useState(false)
  const action = useAction()
  // Chosen again, the same file is no change to a browser that still has it.
  const forget = useRef<() => void>(null)
  const know = (more: Partial<Known>) => {
    setKnown({ ...known, ...more })
    // What is shown was verified against something else.
    setReport(null)
    setName('')
    setBadPolicy('')
  }
  const take = (file: File | null) => {
    if (!file) return
    forget.current?.()
    setReport(null)
    setName(file.name)
    void action.run(async () => {
      const trust = await trustOf(known).catch((error: Error) => {
        setBadPolicy(error.message)
        setOpen(true)
      })
      if (trust) setReport(await verifyZip(new Uint8Array(await file.arrayBuffer()), trust))
    })
  }
  return (
    <div className="bundle">
      <p className="small dimmed">{t('bundle.anyText')}</p>
      <details className="options" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{t('bundle.known')}</summary>
        <p className="small dimmed">{t('bundle.knownText')}</p>
        <div className="fields">
          <TextInput
            label={t('bundle.fingerprint')}
            placeholder="SHA256:…"
            classNames={{ input: 'mono-text' }}
            value={known.fingerprint}
            onChange={(event) => know({ fingerprint: event.currentTarget.value })}
          />
          <TextInput
            label={t('bundle.vkeys')}
            classNames={{ input: 'mono-text' }}
            value={known.vkeys}
            onChange={(event) => know({ vkeys: event.currentTarget.value })}
          />
          <Textarea
            label={t('bundle.policy')}
            description={t('bundle.policyText')}
            placeholder={'witness mine …\nquorum mine'}
            value={known.policy}
            onChange={(event) => know({ policy: event.currentTarget.value })}
            error={badPolicy !== '' && t('bundle.badPolicy', { reason: badPolicy })}
            autosize
            minRows={3}
            classNames={{ input: 'mono-text' }}
          />
        </div>
      </details>
      <FileButton onChange={take} accept=".zip,application/zip" resetRef={forget}>
        {(props) => (
          <Button {...props} variant="default" loading={action.busy} leftSection={<Icon name="upload" size={14} />}>
            {t('bundle.any')}
          </Button>
        )}
      </FileButton>
      {name !== '' && <span className="small dimmed"> {name}</span>}
      <Refusal error={action.error} />
      {report && <Report report={report} />}
    </div>
  )
}

function Report({ report }: { report: BundleReport }) {
  const { t } = useTranslation()
  return (
    <div className="report" role="status">
      <p className={report.ok ? 'verdict verdict-good' : 'verdict verdict-bad'}>
        <Icon name={report.ok ? 'check' : 'cross'} size={18} />
        {report.ok
          ? t('bundle.good')
          : report.fault &&
            t('bundle.bad', { path: plainText(report.fault.path), reason: reasonText(t, report.fault) })}
      </p>
      <Checks checks={report.checks} />
      <h3>{t('proof.rests')}</h3>
      <ul className="plain-list small">
        {report.rests.map(({ what, code, of, value, expected }) => (
          <li key={what + value}>
            <span className="dimmed">{t(`bundleRest.${code}`, { of: plainText(of ?? '') })}</span>{' '}
            <Mono value={plainText(value)} keep={12} />
            {expected && (
              <span className="small">
                {' '}
                <Icon name="check" size={12} /> {t('bundle.expected')}
              </span>
            )}
          </li>
        ))}
      </ul>
    </div>
  )
}

function Checks({ checks }: { checks: readonly BundleCheck[] }) {
  const { t } = useTranslation()
  return (
    <ul className="checks">
      {checks.map((check) => (
        <li key={check.what} className={`check check-${check.state === 'verified' ? 'good' : 'unchecked'}`}>
          <Icon name={check.state === 'verified' ? 'check' : 'dots'} size={14} className="icon-bold" />
          <span>
            {checkText(t, check)}
            {check.parts && check.parts.length > 0 && <Checks checks={check.parts} />}
          </span>
        </li>
      ))}
    </ul>
  )
}
