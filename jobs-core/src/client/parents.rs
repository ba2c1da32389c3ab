//! What a job can wait for, and how that must end.

use super::{BatchHandle, FlowHandle, JobHandle};
use crate::job::{BatchId, Condition, JobId, Parent, ParentId};

/// What a job can be [enqueued after](super::Enqueue::after): the handle or the id of a job, a batch or a
/// flow, which then must succeed; or what [`on_failure`](JobHandle::on_failure) and its like make of a
/// handle.
#[diagnostic::on_unimplemented(
    message = "a job cannot wait for `{Self}`",
    label = "not a handle of a job, a batch or a flow",
    note = "await the builder first: `let first = first.enqueue(..).await?;`, then `.after(&first)`, or \
            `.after(first.on_failure())`"
)]
pub trait AnyHandle {
    /// What is waited for, and how it must end.
    fn parent(&self) -> Parent;
}

impl<H: AnyHandle + ?Sized> AnyHandle for &H {
    fn parent(&self) -> Parent {
        (**self).parent()
    }
}

impl<T> AnyHandle for JobHandle<T> {
    fn parent(&self) -> Parent {
        self.on_success()
    }
}

impl AnyHandle for BatchHandle {
    fn parent(&self) -> Parent {
        self.on_success()
    }
}

impl AnyHandle for FlowHandle {
    fn parent(&self) -> Parent {
        self.batch().on_success()
    }
}

impl AnyHandle for JobId {
    fn parent(&self) -> Parent {
        of(ParentId::Job(*self), Condition::Success)
    }
}

impl AnyHandle for BatchId {
    fn parent(&self) -> Parent {
        of(ParentId::Batch(*self), Condition::Success)
    }
}

impl AnyHandle for Parent {
    fn parent(&self) -> Parent {
        *self
    }
}

pub(super) const fn of(of: ParentId, on: Condition) -> Parent {
    Parent { of, on }
}

/// The conditions on a handle, in the same words for all.
macro_rules! conditions {
    (impl[$($generic:ident)?] $handle:ty, $of:ident) => {
        impl $(<$generic>)? $handle {
            /// For `.after(..)`: it must succeed. While it is Failed the job waits on, because it may be run
            /// again; when it is Deleted, the job is Deleted too. The handle itself means the same.
            pub fn on_success(&self) -> $crate::job::Parent {
                $crate::client::parents::of($crate::job::ParentId::$of(self.id()), $crate::job::Condition::Success)
            }

            /// For `.after(..)`: it must fail, with no retry left. When it ends otherwise, the job is Deleted.
            pub fn on_failure(&self) -> $crate::job::Parent {
                $crate::client::parents::of($crate::job::ParentId::$of(self.id()), $crate::job::Condition::Failure)
            }

            /// For `.after(..)`: it must be deleted, or cancelled. When it ends otherwise, the job is Deleted.
            pub fn on_deletion(&self) -> $crate::job::Parent {
                $crate::client::parents::of($crate::job::ParentId::$of(self.id()), $crate::job::Condition::Deletion)
            }

            /// For `.after(..)`: it must end, in whatever way.
            pub fn on_any(&self) -> $crate::job::Parent {
                $crate::client::parents::of($crate::job::ParentId::$of(self.id()), $crate::job::Condition::Any)
            }
        }
    };
}

pub(super) use conditions;
