//! Admin commands that the driver itself sends, and those that users ask for by name.

use super::Inner;
use crate::admin::{Answer, Payload};
use crate::error::NvmeError;
use crate::link::Raw;
use doorbell_pci::queue::Pages;
use doorbell_wire_nvme::{AdminCommand, AdminOpcode, Cns, Csi, GetLogPage, Identify, LogId, Sqe, U32, Wire, view};

/// A queue that the controller is to make.
pub(super) struct NewQueue {
    pub(super) qid: u16,
    pub(super) entries: u16,
    pub(super) sq: Pages,
    pub(super) cq: Pages,
    pub(super) vector: Option<u32>,
}

impl Inner {
    /// Identify. The answer has to be whole.
    pub(super) async fn identify<T: Wire + Clone>(&self, what: Identify, nsid: u32) -> Result<Box<T>, NvmeError> {
        let sqe = AdminCommand::Identify(what).encode().with_nsid(nsid);
        let answer = self.command("Identify", sqe, Payload::In(4096)).await?;
        view::<T>(&answer.data).map(|t| Box::new(t.clone())).ok_or_else(|| NvmeError::unusable(&self.name, "Identify gave too few bytes"))
    }

    pub(super) async fn identify_cns<T: Wire + Clone>(&self, cns: Cns, nsid: u32, csi: Csi) -> Result<Box<T>, NvmeError> {
        self.identify(Identify { cns, csi, ..Identify::default() }, nsid).await
    }

    /// Reads a log page.
    pub(super) async fn log_page(&self, lid: LogId, nsid: u32, bytes: u32) -> Result<Answer, NvmeError> {
        let what = GetLogPage { lid, len: bytes.into(), ..GetLogPage::default() };
        self.command("Get Log Page", AdminCommand::GetLogPage(what).encode().with_nsid(nsid), Payload::In(bytes)).await
    }

    /// Create I/O Completion Queue, then Create I/O Submission Queue (Base 2.1, 5.2.1 and 5.2.2). A completion queue without its submission
    /// queue is deleted again.
    pub(super) async fn create_queue(&self, new: &NewQueue) -> Result<(), NvmeError> {
        const CONTIGUOUS: u32 = 1;
        const INTERRUPTS: u32 = 1 << 1;
        let which = U32::new(u32::from(new.entries - 1) << 16 | u32::from(new.qid));
        let how = CONTIGUOUS | new.vector.map_or(0, |vector| INTERRUPTS | vector << 16);
        let cq = Sqe { cdw10: which, cdw11: U32::new(how), ..Sqe::new(AdminOpcode::CREATE_CQ.0) };
        self.raw_command("Create I/O Completion Queue", Raw { sqe: cq, pages: Some(new.cq) }, Payload::None).await?;
        let sq = Sqe { cdw10: which, cdw11: U32::new(CONTIGUOUS | u32::from(new.qid) << 16), ..Sqe::new(AdminOpcode::CREATE_SQ.0) };
        if let Err(error) = self.raw_command("Create I/O Submission Queue", Raw { sqe: sq, pages: Some(new.sq) }, Payload::None).await {
            self.delete_one(AdminOpcode::DELETE_CQ, new.qid).await;
            return Err(error);
        }
        Ok(())
    }

    /// Deletes both queues of a pair. False: the controller may still know one.
    pub(super) async fn delete_queue(&self, qid: u16) -> bool {
        // A completion queue whose submission queue is there cannot go.
        self.delete_one(AdminOpcode::DELETE_SQ, qid).await && self.delete_one(AdminOpcode::DELETE_CQ, qid).await
    }

    async fn delete_one(&self, opcode: AdminOpcode, qid: u16) -> bool {
        let sqe = Sqe { cdw10: U32::new(qid.into()), ..Sqe::new(opcode.0) };
        let deleted = self.command("Delete I/O Queue", sqe, Payload::None).await;
        if let Err(error) = &deleted {
            tracing::debug!(controller = %self.name, qid, %error, "a queue was not deleted");
        }
        deleted.is_ok()
    }

    /// Doorbell Buffer Config (Base 2.1, 5.2.5).
    pub(super) async fn configure_shadows(&self, pages: Pages) -> Result<(), NvmeError> {
        let raw = Raw { sqe: Sqe::new(AdminOpcode::DOORBELL_BUFFER_CONFIG.0), pages: Some(pages) };
        self.raw_command("Doorbell Buffer Config", raw, Payload::None).await.map(drop)
    }
}
