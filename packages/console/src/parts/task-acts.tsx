import { useQueryClient } from '@tanstack/react-query'
import type { Task } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Ask } from './ask.tsx'
import { useGo } from './go.tsx'
import { useHandlers } from './task-bits.tsx'

/** Asks before one dead letter is dispatched again, and goes to the new task. */
export function ReplayOne({ task, close }: { task: Task | null; close: () => void }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const queries = useQueryClient()
  const handlers = useHandlers()
  if (!task) return null
  const contract = handlers.data?.find(({ name }) => name === task.handler)
  return (
    <Ask
      opened
      close={close}
      title={t('task.replayTitle', { number: task.number })}
      verb={t('task.replay')}
      act={async () => {
        const { number } = await client.deadLetters.replay({ params: { id: task.id } })
        void queries.invalidateQueries({ queryKey: [project] })
        go(`tasks/${number}`)
      }}
    >
      <p>{t('task.replayText', { handler: task.handler, queue: task.queue, count: task.max_attempts })}</p>
      {contract?.side_effect === 'irreversible' && <p className="dimmed">{t('task.irreversible')}</p>}
    </Ask>
  )
}
