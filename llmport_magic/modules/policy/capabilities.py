"""What the functions of well-known modules can do: the tables behind the policy.

A capability is a label of what code can do when it is called. At import, most of them are
effects that nobody asked for.
"""

from __future__ import annotations

from typing import Literal

Severity = Literal["ask", "refuse"]

# Dotted names, longest match first; a bare module stands for everything in it.
_CAPABILITIES: dict[str, str] = {
    "network": """
        socket socketserver ssl urllib.request http.client http.server ftplib smtplib imaplib
        poplib telnetlib nntplib xmlrpc asyncio.open_connection asyncio.start_server requests
        httpx aiohttp urllib3 httpcore websockets websocket paramiko boto3 botocore openai
        anthropic google.generativeai google.genai yfinance pandas_datareader telebot discord
        tweepy praw slack_sdk pymongo redis psycopg psycopg2 pymysql mysql kafka pika grpc
        paho feedparser wikipedia requests_html mechanize selenium playwright ftputil
        huggingface_hub kubernetes docker nltk.download seaborn.load_dataset torch.hub.load
        spacy.cli.download llmport_magic.llm
    """,
    "processes": """
        subprocess os.system os.popen os.posix_spawn os.posix_spawnp os.startfile os.spawnl
        os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe
        multiprocessing concurrent.futures.ProcessPoolExecutor pty sh plumbum pexpect fabric
        invoke webbrowser asyncio.create_subprocess_exec asyncio.create_subprocess_shell psutil
        posix nt
    """,
    "ends or replaces the process": """
        os._exit os.abort os.kill os.killpg os.fork os.forkpty os.execl os.execle os.execlp
        os.execlpe os.execv os.execve os.execvp os.execvpe signal.pthread_kill signal.raise_signal
        faulthandler._sigsegv
    """,
    "deletes files": """
        os.remove os.unlink os.rmdir os.removedirs os.rename os.renames os.replace os.truncate
        shutil.rmtree shutil.move send2trash
    """,
    "files": """
        builtins.open io.open io.FileIO codecs.open os.open os.fdopen os.mkdir os.makedirs
        os.listdir os.scandir os.walk os.chmod os.chown os.link os.symlink os.mkfifo os.chdir
        shutil tempfile glob.glob glob.iglob fileinput sqlite3.connect zipfile.ZipFile
        tarfile.open gzip.open bz2.open lzma.open dbm.open logging.FileHandler
        logging.handlers.RotatingFileHandler numpy.load numpy.save numpy.savez numpy.savetxt
        numpy.loadtxt numpy.genfromtxt numpy.fromfile numpy.memmap pandas.read_csv
        pandas.read_excel pandas.read_json pandas.read_parquet pandas.read_html pandas.read_sql
        pandas.read_table pandas.read_feather pandas.read_hdf polars.read_csv polars.read_parquet
        PIL.Image.open cv2.imread cv2.imwrite matplotlib.pyplot.savefig matplotlib.pyplot.imread
        openpyxl.load_workbook h5py.File joblib.dump
    """,
    "pickles": """
        pickle.load pickle.loads pickle.Unpickler cPickle shelve.open dill.load dill.loads
        cloudpickle.load cloudpickle.loads joblib.load pandas.read_pickle torch.load
    """,
    "native code": "ctypes cffi mmap.mmap marshal.loads marshal.load",
    "dynamic code": """
        builtins.eval builtins.exec builtins.compile builtins.__import__ importlib runpy
        code.interact code.InteractiveConsole code.InteractiveInterpreter codeop types.FunctionType
        types.CodeType types.LambdaType pkgutil.get_loader pkgutil.find_loader zipimport imp
        IPython.get_ipython builtins.get_ipython timeit.timeit timeit.repeat cProfile.run
        cProfile.runctx profile.run pdb bdb trace.Trace doctest.testfile
    """,
    "environment": "os.environ os.getenv os.environb getpass pwd",
    "asks the user": "builtins.input builtins.breakpoint builtins.raw_input getpass.getpass",
    "threads": """
        threading.Thread threading.Timer _thread concurrent.futures.ThreadPoolExecutor
        asyncio.run atexit.register signal.signal signal.alarm signal.setitimer
    """,
    "looks into the interpreter": """
        sys._getframe sys._current_frames sys.settrace sys.setprofile sys.meta_path sys.path_hooks
        sys.modules sys.path_importer_cache gc.get_objects gc.get_referrers gc.get_referents
        threading.settrace threading.setprofile inspect.getclosurevars inspect.stack
        inspect.currentframe inspect.getouterframes sys.addaudithook sys.call_tracing
    """,
    "stops Python": "sys.exit builtins.exit builtins.quit",
    # Code that was asked for must not decide what the asking allows.
    "llmport's own settings": "llmport_magic",
}  # fmt: skip
CAPABILITY_OF = {name: label for label, names in _CAPABILITIES.items() for name in names.split()}

# Only these are findings where they happen at a call; the others are labels there.
WHEN_CALLED: dict[str, Severity] = {
    "ends or replaces the process": "ask",
    "native code": "ask",
    "dynamic code": "ask",
    "looks into the interpreter": "ask",
    "llmport's own settings": "ask",
}
WHEN_IMPORTED: dict[str, Severity] = {
    "network": "ask",
    "processes": "refuse",
    "ends or replaces the process": "refuse",
    "deletes files": "refuse",
    "files": "ask",
    "pickles": "refuse",
    "native code": "refuse",
    "dynamic code": "refuse",
    "asks the user": "ask",
    "threads": "ask",
    "looks into the interpreter": "refuse",
    "stops Python": "ask",
    "llmport's own settings": "refuse",
}
# Harmless members of modules that are listed as a whole.
HARMLESS = frozenset(
    """
    importlib.resources importlib.metadata importlib.util.find_spec multiprocessing.cpu_count
    ctypes.c_int ctypes.c_uint ctypes.c_long ctypes.c_ulong ctypes.c_longlong ctypes.c_ulonglong
    ctypes.c_float ctypes.c_double ctypes.c_char ctypes.c_char_p ctypes.c_void_p ctypes.c_bool
    ctypes.c_uint8 ctypes.c_uint16 ctypes.c_uint32 ctypes.c_uint64 ctypes.c_int8 ctypes.c_int16
    ctypes.c_int32 ctypes.c_int64 ctypes.c_size_t ctypes.Structure ctypes.Union ctypes.sizeof
    subprocess.CalledProcessError subprocess.TimeoutExpired subprocess.PIPE subprocess.DEVNULL
    subprocess.CompletedProcess subprocess.SubprocessError socket.error socket.timeout
    socket.gaierror requests.RequestException requests.exceptions requests.Response
    requests.HTTPError httpx.HTTPError httpx.RequestError urllib.request.Request shutil.Error
    shutil.get_terminal_size shutil.which tempfile.gettempdir http.client.HTTPException
    requests.Session requests.session httpx.Client httpx.AsyncClient httpx.Timeout
    aiohttp.ClientTimeout openai.OpenAI openai.AsyncOpenAI anthropic.Anthropic redis.Redis
    pymongo.MongoClient boto3.client boto3.resource urllib3.PoolManager socket.AF_INET
    discord.Client ssl.create_default_context requests.adapters urllib3.util
    psutil.cpu_count multiprocessing.Queue ssl.SSLError ssl.CERT_NONE psutil.cpu_percent
    psutil.virtual_memory psutil.swap_memory psutil.disk_usage psutil.boot_time psutil.Error
    psutil.NoSuchProcess psutil.AccessDenied multiprocessing.current_process
    urllib3.disable_warnings requests.packages.urllib3.disable_warnings urllib3.exceptions
    requests.codes requests.auth requests.utils requests.structures requests.status_codes
    ctypes.alignment ctypes.ARRAY ctypes.POINTER
    sys.modules.keys socket.gethostname http.client.responses
    """.split()
)
FILE_METHODS = frozenset(
    """
    write_text write_bytes unlink rmdir mkdir touch symlink_to hardlink_to chmod read_text
    read_bytes to_csv to_excel to_parquet to_pickle to_sql to_hdf to_feather savefig extractall
    """.split()
)

# Attributes that lead out of an object into the interpreter. The way to a class's bases is none:
# it ends at `object`, which has a name of its own.
ESCAPES: dict[str, Severity] = {
    **dict.fromkeys(
        """
        __subclasses__ __globals__ __builtins__ __code__ __closure__ f_globals f_builtins gi_frame
        cr_frame ag_frame __import__ func_globals func_code
        """.split(),
        "refuse",
    ),
    **dict.fromkeys(
        "f_back f_locals tb_frame __loader__ gi_code cr_code co_code __self__ gi_yieldfrom".split(),
        "ask",
    ),
}
# What is read of a function's code, or of a traceback's frame, and leads no further.
FACTS = frozenset(
    """
    co_name co_qualname co_filename co_firstlineno co_varnames co_argcount co_posonlyargcount
    co_kwonlyargcount co_nlocals co_flags co_names co_freevars f_code f_lineno f_lasti
    """.split()
)
# Names and versions of modules, which are texts.
_TEXTS = {"__name__", "__version__", "__doc__", "__file__"}
# Modules whose names in capitals are numbers, not classes as `smtplib.SMTP` is.
_WITH_CONSTANTS = {
    "socket", "ssl", "subprocess", "signal", "os", "requests", "urllib3", "httpx", "aiohttp",
    "multiprocessing", "inspect", "http",
}  # fmt: skip
# Modules out of which a computed name can pick what runs code or ends the process.
_RISKY = {
    "processes", "ends or replaces the process", "deletes files", "pickles", "native code",
    "dynamic code", "looks into the interpreter", "stops Python", "llmport's own settings",
}  # fmt: skip
_ORDINARY_ROOTS = {"pandas", "torch", "joblib", "concurrent", "asyncio", "timeit"}
RISKY_MODULES = frozenset(
    name.partition(".")[0] for name, label in CAPABILITY_OF.items() if label in _RISKY
) - _ORDINARY_ROOTS | {"__main__"}


def capability_of(dotted: str) -> str | None:
    """Give what a dotted name can do, or `None` for what is harmless or unknown."""
    root, _, last = dotted.partition(".")[0], *dotted.rpartition(".")[1:]
    if _TEXTS & set(dotted.split(".")) or last.endswith(("Error", "Exception", "Warning")):
        return None
    if last.isupper() and root in _WITH_CONSTANTS:
        return None
    name = dotted
    while name:
        if name in HARMLESS:
            return None
        if name in CAPABILITY_OF:
            return CAPABILITY_OF[name]
        name = name.rpartition(".")[0]
    return None
