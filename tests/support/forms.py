"""A multipart form as clients upload audio: its parts and its content type."""

FORM_START = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
FORM_MODEL = (
    b'\r\n--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--XX--\r\n'
)
FORM = [("content-type", "multipart/form-data; boundary=XX")]
