//! The words by which rules are given to a job that is enqueued.

/// The rules that can be given to [`Enqueue`](crate::client::Enqueue) and [`EnqueueMany`](crate::client::EnqueueMany):
/// the same words for both.
macro_rules! job_rules {
    ($builder:ident) => {
        impl<'t, J: $crate::job::Job> $builder<'t, J> {
            /// Waits for another job, or a whole batch or flow, to succeed; or to end otherwise:
            /// `.after(first.on_failure())`, [`on_deletion`], [`on_any`]. May be said several times: all
            /// must come about. Once one has ended so that it cannot any more, the job is Deleted, with a
            /// reason that names it.
            ///
            /// What has ended already is met at once. A delay counts from now, not from then. Refused with
            /// [`Error::Invalid`](crate::Error::Invalid) if the job would wait for itself, by whatever way: it
            /// names who waits for whom.
            ///
            /// [`on_deletion`]: crate::client::JobHandle::on_deletion
            /// [`on_any`]: crate::client::JobHandle::on_any
            pub fn after(mut self, parent: impl $crate::client::AnyHandle) -> Self {
                self.settings.after(parent.parent());
                self
            }

            /// Waits for several jobs or batches, whatever they return: `.after_all([&user, &order])`. See
            /// [`after`](Self::after).
            pub fn after_all<const N: usize>(
                mut self,
                parents: [&dyn $crate::client::AnyHandle; N],
            ) -> Self {
                parents
                    .iter()
                    .for_each(|parent| self.settings.after(parent.parent()));
                self
            }

            /// Waits for these jobs to succeed, up to 10,000. See [`after`](Self::after).
            pub fn after_ids(mut self, jobs: impl IntoIterator<Item = $crate::job::JobId>) -> Self {
                let parent = |job| $crate::client::AnyHandle::parent(&job);
                jobs.into_iter()
                    .for_each(|job| self.settings.after(parent(job)));
                self
            }

            /// Becomes a member of a batch that has not ended: the batch does not end before it has.
            /// Refused with [`Error::Invalid`](crate::Error::Invalid) if the batch has ended or was
            /// cancelled. Within one of its members: `.in_batch(ctx.batch().id())`.
            pub fn in_batch(mut self, batch: impl Into<$crate::job::BatchId>) -> Self {
                self.settings.asked.batch = Some(batch.into());
                self
            }

            /// Is not stored if another job of the kind holds the key that is made of these arguments
            /// (their names; with none, of all). The kind's declaration says the same with
            /// `unique(args = [..])`.
            pub fn unique_args<N: Into<String>>(
                mut self,
                names: impl IntoIterator<Item = N>,
            ) -> Self {
                let names = names.into_iter().map(Into::into).collect();
                self.settings
                    .unique($crate::client::rules::Key::Args(names));
                self
            }

            /// How long the unique key is held. Defaults to the kind's, and there to
            /// [`UniqueUntil::Done`](crate::job::UniqueUntil::Done).
            pub fn unique_until(mut self, until: $crate::job::UniqueUntil) -> Self {
                self.settings.until(until);
                self
            }

            /// What becomes of a job whose unique key another holds. Defaults to the kind's, and there to
            /// [`OnConflict::Skip`](crate::job::OnConflict::Skip).
            pub fn on_conflict(mut self, then: $crate::job::OnConflict) -> Self {
                self.settings.asked.on_conflict = Some(then);
                self
            }

            /// Counts against a limit, beside those of the kind: `.limit(&API)`, or, by a key,
            /// `.limit(API.by(tenant))`. May be said several times, for other limits: it runs when all of
            /// them have room. One that the kind uses too is used as it is said here.
            pub fn limit(mut self, limit: impl Into<$crate::job::LimitUse>) -> Self {
                self.settings.limit(limit.into());
                self
            }

            /// Is Deleted if it has not been started this long after it was stored. Defaults to the
            /// kind's, and there to never.
            pub fn expires_in(mut self, time: ::std::time::Duration) -> Self {
                self.settings.asked.expires_in = Some(time);
                self
            }

            /// Adds a value that is known by its name, for the handler
            /// ([`ctx.metadata`](crate::handler::JobContext::metadata)) and for people. Names match
            /// `[A-Za-z0-9_.:-]{1,128}`; a value may have 4 KiB, all together 16 KiB.
            pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.settings.metadata(name.into(), value.into(), false);
                self
            }

            /// As [`metadata`](Self::metadata), and jobs that the handler enqueues get it too, and those
            /// that theirs do: a tenant, a locale, a trace. What they are given themselves comes first.
            pub fn inherited_metadata(
                mut self,
                name: impl Into<String>,
                value: impl Into<String>,
            ) -> Self {
                self.settings.metadata(name.into(), value.into(), true);
                self
            }
        }
    };
}

pub(in crate::client) use job_rules;
