import { ActionIcon, Select } from '@mantine/core'
import { type Dispatch, type SetStateAction, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { bytes } from '../app/format.ts'
import { FileDrop } from './file-drop.tsx'
import { Icon } from './icons.tsx'
import { readTrialFiles, type TrialFile, withFiles } from './trial-files.ts'

/** The files that rules are tried on: dropped or chosen, once more when they were corrected. */
export function TrialDrop({
  files,
  set,
}: {
  files: readonly TrialFile[]
  set: Dispatch<SetStateAction<readonly TrialFile[]>>
}) {
  const { t } = useTranslation()
  const [failed, setFailed] = useState(false)
  const take = async (come: readonly File[]) => {
    setFailed(false)
    try {
      const read = await readTrialFiles(come)
      // Others may have come while these were read.
      set((there) => withFiles(there, read))
    } catch {
      setFailed(true)
    }
  }
  return (
    <FileDrop take={take} compact invitation={<p>{t('rules.drop')}</p>}>
      {failed && (
        <p className="refusal" role="alert">
          <Icon name="warning" size={14} /> {t('rules.unreadable')}
        </p>
      )}
      {files.length > 0 && (
        <ul className="files trial-files" aria-label={t('rules.files')}>
          {files.map((file) => (
            <li key={file.name}>
              <Icon name="file" size={14} />
              <span className="breaks">{file.name}</span>
              <span className="file-more">
                <span className="dimmed">{bytes(file.size)}</span>
                <Select
                  aria-label={`${t('evidence.role')}${t('error.colon')}${file.name}`}
                  placeholder={t('evidence.noRole')}
                  data={(['before', 'after'] as const).map((value) => ({ value, label: t(`evidence.${value}`) }))}
                  value={file.role}
                  onChange={(role) =>
                    set(files.map((one) => (one === file ? { ...one, role: role as TrialFile['role'] } : one)))
                  }
                  clearable
                  size="xs"
                  w={160}
                />
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label={t('dispatch.remove', { name: file.name })}
                  onClick={() => set(files.filter((one) => one !== file))}
                >
                  <Icon name="cross" size={14} />
                </ActionIcon>
              </span>
            </li>
          ))}
        </ul>
      )}
    </FileDrop>
  )
}
