//! The target's RPC methods, and the part that brings them.
//!
//! Names, types, answers and errors are those of SPDK's interface. What asks for something that is not to be had is refused, never ignored;
//! what only tunes something that does not exist here is kept for the saved configuration.

mod claimed;
mod describe;
mod params;

use self::claimed::Claimed;
use crate::{NewNamespace, NewSubsystem, Target, TargetError, TransportOptions, VfioUserOptions};
use doorbell_bdev::{Access, Event, Registry};
use doorbell_control::{ConfigCall, LocalFuture, Methods, NoParams, Params, Part, RpcError, When};
use doorbell_reactor::Local;
use params::*;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// SPDK's name for the one target.
const TARGET: &str = "nvmf_tgt";
/// How long in-flight I/O may take when the part stops.
const STOP_NS: u64 = 5_000_000_000;

/// The target as a part of the process.
pub struct NvmfPart {
    target: Target,
    registry: Registry,
    local: Local,
    /// What was given to `nvmf_create_transport`, for what is kept only: for TCP, and for vfio-user.
    transport: RefCell<Option<CreateTransport>>,
    vfio_user: RefCell<Option<CreateTransport>>,
    /// The same for subsystems.
    created: RefCell<BTreeMap<String, CreateSubsystem>>,
}

fn refuse(what: &str) -> RpcError {
    RpcError::not_supported().because(format!("{what} is not to be had in this version of Doorbell"))
}

fn is_set(flag: Option<bool>) -> bool {
    flag == Some(true)
}

fn invalid(e: impl std::fmt::Display) -> RpcError {
    RpcError::invalid_params(e)
}

/// In SPDK's words, which are few.
fn refused(e: TargetError) -> RpcError {
    match &e {
        TargetError::NoSubsystem(nqn) => RpcError::new(RpcError::INVALID_PARAMS, format!("Subsystem with NQN '{nqn}' not found")),
        TargetError::HostExists(_) | TargetError::NoHost(_) => RpcError::internal("Internal error").because(e),
        _ => invalid(e),
    }
}

/// There is one target; a call may name it.
fn check_target(name: Option<&String>) -> Result<(), RpcError> {
    match name {
        Some(n) if n != TARGET => Err(RpcError::internal("Unable to find a target.").because(format!("the one target is {TARGET}"))),
        _ => Ok(()),
    }
}

/// A transport that is to be had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    VfioUser,
}

fn transport_of(trtype: &str) -> Result<Transport, RpcError> {
    match trtype.to_ascii_uppercase().as_str() {
        "TCP" => Ok(Transport::Tcp),
        "VFIOUSER" => Ok(Transport::VfioUser),
        _ => Err(invalid(format!("the transport {trtype} is not to be had; TCP and VFIOUSER are"))),
    }
}

/// What a call asks of the vfio-user transport. What is TCP's alone is refused rather than forgotten.
fn vfio_user_options(p: &CreateTransport) -> Result<VfioUserOptions, RpcError> {
    let of_tcp = [
        (p.header_digest.is_some(), "header_digest"),
        (p.data_digest.is_some(), "data_digest"),
        (p.max_r2t_bytes.is_some(), "max_r2t_bytes"),
        (p.send_timeout_ms.is_some(), "send_timeout_ms"),
        (p.data_timeout_ms.is_some(), "data_timeout_ms"),
        (p.max_connections.is_some(), "max_connections"),
        (p.in_capsule_data_size.is_some_and(|n| n != 0), "in_capsule_data_size"),
    ];
    if let Some((_, name)) = of_tcp.into_iter().find(|(given, _)| *given) {
        return Err(invalid(format!("{name} is of TCP, not of VFIOUSER")));
    }
    let plain = VfioUserOptions::default();
    let common = transport_options_from(p, &plain.common)?;
    Ok(VfioUserOptions {
        common,
        mappable_doorbells: !is_set(p.disable_mappable_bar0),
        adaptive_irq: !is_set(p.disable_adaptive_irq),
        shadow_doorbells: !is_set(p.disable_shadow_doorbells),
        idle_look_ns: p.idle_look_us.map_or(plain.idle_look_ns, |us| u64::from(us) * 1000),
    })
}

fn hex<const N: usize>(text: Option<&String>, what: &str) -> Result<Option<[u8; N]>, RpcError> {
    let Some(text) = text else { return Ok(None) };
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let mut bytes = [0u8; N];
    let bad = || invalid(format!("{what} must be {} hexadecimal digits", 2 * N));
    if digits.len() != 2 * N || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad());
    }
    for (n, b) in bytes.iter_mut().enumerate() {
        let pair = digits.get(2 * n..2 * n + 2).ok_or_else(bad)?;
        *b = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
    }
    Ok(Some(bytes))
}

/// What a call asks of the TCP transport.
fn transport_options(p: &CreateTransport) -> Result<TransportOptions, RpcError> {
    if p.idle_look_us.is_some() {
        return Err(invalid("idle_look_us is of VFIOUSER, not of TCP"));
    }
    transport_options_from(p, &TransportOptions::default())
}

/// The same, where these are the defaults.
fn transport_options_from(p: &CreateTransport, plain: &TransportOptions) -> Result<TransportOptions, RpcError> {
    let ns = |ms: Option<u32>| ms.map(|ms| u64::from(ms) * 1_000_000);
    if is_set(p.dif_insert_or_strip) {
        return Err(refuse("dif_insert_or_strip"));
    }
    if p.masked_oncs.is_some() || p.masked_fuses.is_some() {
        return Err(refuse("masking of commands"));
    }
    if p.kas.is_some_and(|k| k != 100) {
        return Err(invalid("kas is 100 here"));
    }
    let admin = p.max_aq_depth.unwrap_or(plain.max_admin_depth.into());
    Ok(TransportOptions {
        max_queue_depth: p.max_queue_depth.unwrap_or(plain.max_queue_depth),
        max_io_queues: p.max_io_qpairs_per_ctrlr.unwrap_or(plain.max_io_queues),
        in_capsule_bytes: p.in_capsule_data_size.unwrap_or(plain.in_capsule_bytes),
        max_io_bytes: p.max_io_size.unwrap_or(plain.max_io_bytes),
        max_admin_depth: u16::try_from(admin).map_err(|_| invalid("max_aq_depth is too large"))?,
        c2h_success: p.c2h_success.unwrap_or(plain.c2h_success),
        min_keep_alive_ms: p.min_kato.unwrap_or(plain.min_keep_alive_ms),
        max_asked_bytes: p.max_r2t_bytes.unwrap_or(plain.max_asked_bytes.max(p.max_io_size.unwrap_or(0))),
        max_connections: p.max_connections.unwrap_or(plain.max_connections),
        header_digest: p.header_digest.unwrap_or(plain.header_digest),
        data_digest: p.data_digest.unwrap_or(plain.data_digest),
        handshake_timeout_ns: ns(p.handshake_timeout_ms).unwrap_or(plain.handshake_timeout_ns),
        send_timeout_ns: ns(p.send_timeout_ms).unwrap_or(plain.send_timeout_ns),
        data_timeout_ns: ns(p.data_timeout_ms).unwrap_or(plain.data_timeout_ns),
        ..plain.clone()
    })
}

impl NvmfPart {
    /// Of this target, whose namespaces come from this registry.
    pub fn new(target: Target, registry: Registry, local: Local) -> Rc<NvmfPart> {
        Rc::new(NvmfPart {
            target,
            registry,
            local,
            transport: RefCell::default(),
            vfio_user: RefCell::default(),
            created: RefCell::default(),
        })
    }

    async fn get_targets(self: Rc<Self>, _: NoParams) -> Result<Vec<&'static str>, RpcError> {
        Ok(vec![TARGET])
    }

    async fn set_max_subsystems(self: Rc<Self>, p: SetMaxSubsystems) -> Result<bool, RpcError> {
        self.target.set_max_subsystems(p.max_subsystems).map(|()| true).map_err(invalid)
    }

    async fn set_retry_delay(self: Rc<Self>, p: SetRetryDelay) -> Result<bool, RpcError> {
        self.target.set_retry_delays([p.crdt1, p.crdt2, p.crdt3].map(|d| d.unwrap_or(0)));
        Ok(true)
    }

    async fn create_transport(self: Rc<Self>, p: CreateTransport) -> Result<bool, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        let transport = transport_of(&p.trtype)?;
        let vfio_user = if transport == Transport::VfioUser { Some(vfio_user_options(&p)?) } else { None };
        let options = match &vfio_user {
            Some(v) => v.common.clone(),
            None => transport_options(&p)?,
        };
        let longest = self.local.with(|cx| cx.pool().longest()).await;
        if u64::from(options.max_io_bytes) > longest {
            let io = options.max_io_bytes;
            let why = format!(
                "max_io_size is {io}, and the pool of a reactor has no more than {longest} bytes for one request: serve with more --memory"
            );
            return Err(invalid(why));
        }
        let is_tcp = vfio_user.is_none();
        let created = match vfio_user {
            Some(options) => self.target.create_vfio_user(options),
            None => self.target.create_transport(options),
        };
        created.map_err(|e| match e {
            TargetError::TransportExists | TargetError::VfioUserExists => {
                RpcError::internal(format!("Transport type '{}' already exists", p.trtype))
            }
            e => invalid(e),
        })?;
        *(if is_tcp { &self.transport } else { &self.vfio_user }).borrow_mut() = Some(p);
        Ok(true)
    }

    async fn get_transports(self: Rc<Self>, p: GetTransports) -> Result<Vec<Value>, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        let wanted = |m: &Map<String, Value>| {
            let trtype = m.get("trtype").and_then(Value::as_str).unwrap_or_default();
            p.trtype.as_ref().is_none_or(|t| t.eq_ignore_ascii_case(trtype))
        };
        let list: Vec<_> = self.transports().into_iter().filter(wanted).map(Value::Object).collect();
        if list.is_empty() && p.trtype.is_some() { Err(RpcError::no_device()) } else { Ok(list) }
    }

    /// Every transport, as the call that makes it again.
    fn transports(&self) -> Vec<Map<String, Value>> {
        let tcp = self.target.transport().map(|o| describe::transport(&o, self.transport.borrow().as_ref()));
        let vfio_user = self.target.vfio_user().map(|o| describe::vfio_user(&o, self.vfio_user.borrow().as_ref()));
        tcp.into_iter().chain(vfio_user).collect()
    }

    async fn create_subsystem(self: Rc<Self>, p: CreateSubsystem) -> Result<bool, RpcError> {
        // SPDK says which one here, and only here.
        check_target(p.tgt_name.as_ref())
            .map_err(|_| RpcError::internal(format!("Unable to find target {}", p.tgt_name.as_deref().unwrap_or(""))))?;
        for (asked, what) in
            [(p.ana_reporting, "ANA reporting"), (p.passthrough, "passthrough"), (p.enable_nssr, "subsystem reset by hosts")]
        {
            if is_set(asked) {
                return Err(refuse(what));
            }
        }
        let plain = NewSubsystem::new(&p.nqn);
        let new = NewSubsystem {
            nqn: p.nqn.clone(),
            serial: p.serial_number.clone().unwrap_or(plain.serial),
            model: p.model_number.clone().unwrap_or(plain.model),
            max_namespaces: p.max_namespaces.filter(|n| *n != 0).unwrap_or(plain.max_namespaces),
            allow_any_host: is_set(p.allow_any_host),
            cntlids: (p.min_cntlid.unwrap_or(plain.cntlids.0), p.max_cntlid.unwrap_or(plain.cntlids.1)),
        };
        self.target.create_subsystem(new).map_err(|e| match e {
            TargetError::Text { .. } => invalid(e),
            TargetError::ControllerIds { from, to } => {
                RpcError::new(RpcError::INVALID_PARAMS, format!("Invalid cntlid range [{from}-{to}]")).because(e)
            }
            e => RpcError::internal(format!("Unable to create subsystem {}", p.nqn)).because(e),
        })?;
        self.created.borrow_mut().insert(p.nqn.clone(), p);
        Ok(true)
    }

    async fn delete_subsystem(self: Rc<Self>, p: OfSubsystem) -> Result<bool, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        self.target.delete_subsystem(&p.nqn).map_err(refused)?;
        self.created.borrow_mut().remove(&p.nqn);
        Ok(true)
    }

    async fn get_subsystems(self: Rc<Self>, p: GetSubsystems) -> Result<Vec<Value>, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        let snapshot = self.target.snapshot();
        let created = self.created.borrow();
        let list: Vec<_> = snapshot
            .subsystems
            .iter()
            .filter(|s| p.nqn.as_ref().is_none_or(|n| *n == s.nqn))
            .map(|s| describe::subsystem(s, created.get(&s.nqn)))
            .collect();
        match p.nqn {
            Some(nqn) if list.is_empty() => Err(refused(TargetError::NoSubsystem(nqn))),
            _ => Ok(list),
        }
    }

    async fn add_ns(self: Rc<Self>, p: AddNs) -> Result<u32, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        let spec = &p.namespace;
        if spec.ptpl_file.is_some() {
            return Err(refuse("reservations (ptpl_file)"));
        }
        if spec.anagrpid.is_some_and(|n| n != 0) {
            return Err(refuse("ANA (anagrpid)"));
        }
        if is_set(spec.no_auto_visible) {
            return Err(refuse("visibility by host (no_auto_visible)"));
        }
        let target = self.target.clone();
        // A namespace goes by its device's name, whatever name it was asked for by.
        let bdev = self.registry.find(&spec.bdev_name);
        let name = bdev.map_or_else(|| spec.bdev_name.clone(), |bdev| bdev.name().to_owned());
        let named = name.clone();
        let on_event = move |event: Event| match event {
            Event::Removed => drop(target.device_removed(&named)),
            Event::Resized => drop(target.device_changed(&named)),
        };
        let handle = self.registry.open(&name, Access::Write, Box::new(on_event)).map_err(invalid)?;
        let uuid = spec.uuid.unwrap_or(handle.uuid());
        let new = NewNamespace {
            nsid: spec.nsid.filter(|n| *n != 0),
            name,
            uuid: uuid.0,
            nguid: hex(spec.nguid.as_ref(), "nguid")?,
            eui64: hex(spec.eui64.as_ref(), "eui64")?,
            read_only: false,
            device: Arc::new(Claimed::new(handle).map_err(invalid)?),
        };
        self.target.add_namespace(&p.nqn, new).map_err(refused)
    }

    async fn remove_ns(self: Rc<Self>, p: RemoveNs) -> Result<bool, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        self.target.remove_namespace(&p.nqn, p.nsid).map(|()| true).map_err(refused)
    }

    async fn add_listener(self: Rc<Self>, p: AddListener) -> Result<bool, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        let transport = transport_of(&p.listen_address.trtype)?;
        if is_set(p.secure_channel) {
            return Err(refuse("TLS (secure_channel)"));
        }
        if p.ana_state.is_some_and(|s| s != AnaState::Optimized) {
            return Err(refuse("ANA (ana_state)"));
        }
        if p.sock_impl.as_deref().is_some_and(|s| s != "posix") {
            return Err(invalid("sock_impl is posix here"));
        }
        if transport == Transport::VfioUser {
            let serving = self.target.add_endpoint(&self.local, &p.nqn, &p.listen_address.traddr).await;
            return serving.map(|()| true).map_err(refused);
        }
        let port = p.listen_address.trsvcid.as_deref().unwrap_or("4420");
        let listening = self.target.add_listener(&self.local, &p.nqn, &p.listen_address.traddr, port).await;
        listening.map(|_| true).map_err(refused)
    }

    async fn remove_listener(self: Rc<Self>, p: RemoveListener) -> Result<bool, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        if transport_of(&p.listen_address.trtype)? == Transport::VfioUser {
            return self.target.remove_endpoint(&p.nqn, &p.listen_address.traddr).map(|()| true).map_err(refused);
        }
        let port = p.listen_address.trsvcid.as_deref().unwrap_or("4420");
        self.target.remove_listener(&p.nqn, &p.listen_address.traddr, port).map(|()| true).map_err(refused)
    }

    async fn add_host(self: Rc<Self>, p: AddHost) -> Result<bool, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        if p.psk.is_some() || p.dhchap_key.is_some() || p.dhchap_ctrlr_key.is_some() {
            return Err(refuse("a key for a host (psk, dhchap_key)"));
        }
        self.target.add_host(&p.nqn, &p.host).map(|()| true).map_err(refused)
    }

    async fn remove_host(self: Rc<Self>, p: RemoveHost) -> Result<bool, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        self.target.remove_host(&p.nqn, &p.host).map(|()| true).map_err(refused)
    }

    async fn allow_any_host(self: Rc<Self>, p: AllowAnyHost) -> Result<bool, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        self.target.allow_any_host(&p.nqn, p.allow_any_host).map(|()| true).map_err(refused)
    }

    /// The named subsystem, or SPDK's answer when there is none.
    fn known(&self, p: &OfSubsystem) -> Result<Arc<crate::Subsystem>, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        self.target.snapshot().find(&p.nqn).cloned().ok_or_else(|| refused(TargetError::NoSubsystem(p.nqn.clone())))
    }

    async fn get_controllers(self: Rc<Self>, p: OfSubsystem) -> Result<Vec<Value>, RpcError> {
        let s = self.known(&p)?;
        Ok(self.target.controllers(&p.nqn).iter().map(|c| describe::controller(c, s.kind)).collect())
    }

    async fn get_qpairs(self: Rc<Self>, p: OfSubsystem) -> Result<Vec<Value>, RpcError> {
        self.known(&p)?;
        Ok(self.target.queues(&p.nqn).iter().map(describe::queue).collect())
    }

    async fn get_listeners(self: Rc<Self>, p: OfSubsystem) -> Result<Vec<Value>, RpcError> {
        let s = self.known(&p)?;
        Ok(describe::listeners(&s).map(|address| json!({ "address": address })).collect())
    }

    async fn get_stats(self: Rc<Self>, p: OfTarget) -> Result<Value, RpcError> {
        check_target(p.tgt_name.as_ref())?;
        let transports: Vec<_> = self.transports().iter().filter_map(|m| m.get("trtype").map(|t| json!({ "trtype": t }))).collect();
        let groups: Vec<_> = self.target.stats().iter().map(|g| describe::group(g, &transports)).collect();
        Ok(json!({ "tick_rate": 1_000_000_000u64, "poll_groups": groups }))
    }
}

impl Part for NvmfPart {
    fn name(&self) -> &'static str {
        "nvmf"
    }

    fn depends_on(&self) -> &'static [&'static str] {
        &["bdev", "keyring", "sock"]
    }

    fn methods(self: Rc<Self>, m: &mut Methods) {
        macro_rules! on {
            ($name:literal, $doc:literal, $method:ident) => {{
                let me = self.clone();
                m.add($name, When::Runtime, $doc, move |p| me.clone().$method(p));
            }};
        }
        m.add("nvmf_set_max_subsystems", When::Startup, "Limits how many subsystems there may be.", {
            let me = self.clone();
            move |p| me.clone().set_max_subsystems(p)
        });
        m.add("nvmf_set_crdt", When::Startup, "Says how long hosts wait before they send a failed command again.", {
            let me = self.clone();
            move |p| me.clone().set_retry_delay(p)
        });
        on!("nvmf_get_targets", "Names the one target.", get_targets);
        on!("nvmf_create_transport", "Makes the transport that subsystems are served over.", create_transport);
        on!("nvmf_get_transports", "Lists transports.", get_transports);
        on!("nvmf_create_subsystem", "Makes a subsystem.", create_subsystem);
        on!("nvmf_delete_subsystem", "Removes a subsystem; its hosts are disconnected.", delete_subsystem);
        on!("nvmf_get_subsystems", "Lists subsystems, the discovery subsystem first.", get_subsystems);
        on!("nvmf_subsystem_add_ns", "Adds a block device to a subsystem, and answers with the namespace's id.", add_ns);
        on!("nvmf_subsystem_remove_ns", "Removes a namespace.", remove_ns);
        on!("nvmf_subsystem_add_listener", "Listens for a subsystem.", add_listener);
        on!("nvmf_subsystem_remove_listener", "Stops listening for a subsystem.", remove_listener);
        on!("nvmf_subsystem_add_host", "Allows a host.", add_host);
        on!("nvmf_subsystem_remove_host", "Allows a host no longer; it is disconnected.", remove_host);
        on!("nvmf_subsystem_allow_any_host", "Allows any host, or only those listed.", allow_any_host);
        on!("nvmf_subsystem_get_controllers", "Lists the controllers of a subsystem.", get_controllers);
        on!("nvmf_subsystem_get_qpairs", "Lists the queues of a subsystem's controllers.", get_qpairs);
        on!("nvmf_subsystem_get_listeners", "Lists where a subsystem listens.", get_listeners);
        on!("nvmf_get_stats", "Tells counters of each reactor's group.", get_stats);
    }

    fn save(&self) -> Vec<ConfigCall> {
        let mut calls = describe::limits_of(&self.target.snapshot());
        calls.extend(self.transports().into_iter().map(|params| ConfigCall::with("nvmf_create_transport", params)));
        let created = self.created.borrow();
        for s in &self.target.snapshot().subsystems {
            calls.extend(describe::calls(s, created.get(&s.nqn)));
        }
        calls
    }

    fn init(self: Rc<Self>) -> LocalFuture<Result<(), RpcError>> {
        Box::pin(async move { self.target.start(&self.local).await.map_err(|e| RpcError::internal(e.to_string())) })
    }

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        Box::pin(async move { self.target.stop(&self.local, STOP_NS).await })
    }
}

/// Parameters as an object, without the target's name.
fn object(p: &impl Params) -> Map<String, Value> {
    let mut o = p.to_object();
    o.remove("tgt_name");
    o
}

#[cfg(test)]
mod tests;
